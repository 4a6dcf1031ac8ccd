import Architecture
import CommandSupport
import Inference
import Kernels
import Prompting
import RuntimeSupport
import TensorCore

/// What one round took, in seconds; decode is per token.
struct StageSeconds {
  var vision: Double
  var prefill: Double
  var firstToken: Double
  var decode: Double

  static let stages: [(name: String, path: any KeyPath<StageSeconds, Double> & Sendable)] = [
    ("vision", \.vision), ("prefill", \.prefill), ("first_token", \.firstToken),
    ("decode", \.decode),
  ]

  /// The stages by name.
  var json: JSONValue {
    var object = JSONObject()
    for stage in Self.stages { object[stage.name] = .number(rounded(self[keyPath: stage.path])) }
    return .object(object)
  }
}

/// Runs rounds of one profile in a session that keeps its memory, as a server would.
struct StageTimer {
  let profile: ScheduleProfile
  private let runtime: Runtime
  private let prompt: SyntheticPrompt
  private let session: Session
  private let tokens: Int

  /// - Parameter tokens: decoded per round.
  init(
    _ runtime: Runtime, _ profile: ScheduleProfile, _ prompt: SyntheticPrompt, tokens: Int
  ) throws(InputError) {
    let room = runtime.model.configuration.text.contextLength - prompt.input.ids.count
    guard room >= tokens else {
      throw InputError(
        "",
        "\(prompt.input.ids.count) prompt rows and \(tokens) tokens do not fit the context of "
          + "\(runtime.model.configuration.text.contextLength); use fewer --images or --text-rows")
    }
    self.runtime = runtime
    self.profile = profile
    self.prompt = prompt
    self.tokens = tokens
    session = runtime.session(profile)
  }

  /// Encodes the images, fills the cache, decodes.
  ///
  /// - Parameter visual: rows of the images from an earlier round; nil encodes them.
  func round(
    visual known: (rows: Rows?, seconds: Double)? = nil
  ) throws(InputError) -> StageSeconds {
    let clock = ContinuousClock()
    session.reset()
    let (visual, vision) = if let known { known } else { try encode() }
    let start = clock.now
    var logits = try session.prefill(prompt.input, visual: visual)
    let filled = clock.now
    var sampler = Sampler(SamplingOptions())
    for _ in 0..<tokens { logits = session.step(try sampler.next(logits)) }
    let prefill = seconds(filled - start)
    return StageSeconds(
      vision: vision, prefill: prefill, firstToken: vision + prefill,
      decode: seconds(clock.now - filled) / Double(tokens))
  }

  /// The visual rows of the prompt, and how long they took; nil without images.
  func encode() throws(InputError) -> (rows: Rows?, seconds: Double) {
    guard !prompt.images.isEmpty else { return (nil, 0) }
    let start = ContinuousClock.now
    let rows = try runtime.model.encode(prompt.images)
    return (rows, seconds(ContinuousClock.now - start))
  }

  /// Bytes of keys and values that the last decoded token read.
  var cacheBytes: Int { session.keyValueBytes.visual + session.keyValueBytes.text }
}
