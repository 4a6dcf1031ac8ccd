import Architecture
import ArgumentParser
import CommandSupport
import Inference
import Prompting
import RuntimeSupport
import TensorCore
import VTWMFile

@main
struct Entry {
  static func main() { Program.run(VTWRun.self) }
}

struct VTWRun: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vtwrun",
    abstract: "Answer questions about images with a .vtwm model.",
    discussion: """
      The answer goes to standard output, everything else to standard error. Without a prompt, a \
      terminal starts a chat, and a pipe is read as the prompt.
      """,
    version: Program.version)

  @Argument(help: ArgumentHelp("The model.", valueName: "file.vtwm"), transform: nonemptyPath)
  var file: String

  @Option(
    name: .long, help: "An image (JPEG, PNG or WebP); repeat for several.", transform: nonemptyPath)
  var image: [String] = []

  @Option(name: .shortAndLong, help: "The question.")
  var prompt: String?

  @Flag(help: "Take the prompt as it is: no template; <image> marks where an image goes.")
  var raw = false

  @Option(name: [.customShort("n"), .customLong("max-tokens")], help: "Most tokens to answer.")
  var maxTokens = 512

  @Option(help: "Sampling temperature; 0 is greedy.")
  var temp: Float = 0

  @Option(help: "Sample from the k most likely tokens; 0: from all.")
  var topK = 40

  @Option(help: "Sample from the smallest set that reaches this probability.")
  var topP: Float = 0.95

  @Option(help: "Leave out tokens less likely than this share of the most likely one.")
  var minP: Float = 0

  @Option(help: "Make tokens of the answer less likely to come again; 1: off.")
  var repeatPenalty: Float = 1

  @Option(help: "Seed of the sampling.")
  var seed: UInt64 = 0

  @Option(help: "End the answer before this text; repeat for several.")
  var stop: [String] = []

  @Flag(help: "Go on after the end-of-text token, up to --max-tokens.")
  var ignoreEos = false

  @OptionGroup(title: "Schedule") var schedule: ScheduleOptions
  @OptionGroup(title: "Engine") var engine: EngineOptions
  @OptionGroup(title: "Engine") var cache: CacheOptions

  @Flag(help: "Print where the time and memory went.")
  var stats = false

  @Flag(help: "Print a JSON object as the last line of the output.")
  var json = false

  @Flag(help: "Print nothing but the answer.")
  var quiet = false

  @Option(
    help: ArgumentHelp(
      "Write what the prompt's forward pass computes.", valueName: "file.safetensors"),
    transform: nonemptyPath)
  var trace: String?

  @Option(help: ArgumentHelp("Refuse the file unless its content id begins so.", valueName: "id"))
  var expectId: String?

  @Flag(help: "Check all weights before running.")
  var verify = false

  mutating func validate() throws {
    guard maxTokens > 0 else { throw ValidationError("--max-tokens must be at least 1.") }
    guard temp >= 0, temp.isFinite else { throw ValidationError("--temp must be 0 or more.") }
    guard topK >= 0 else { throw ValidationError("--top-k must be 0 or more.") }
    guard topP > 0, topP <= 1 else { throw ValidationError("--top-p must be in (0, 1].") }
    guard (0...1).contains(minP) else { throw ValidationError("--min-p must be in 0...1.") }
    guard repeatPenalty > 0 else { throw ValidationError("--repeat-penalty must be above 0.") }
  }

  mutating func run() throws {
    let clock = ContinuousClock()
    let start = clock.now
    if let trace { try OutputFile.check(trace, inputs: [file] + image) }
    let model = try VTWMFile(opening: file)
    if let expectId, !model.contentID.hasPrefix(expectId) {
      throw InputError(file, "its content id is \(model.contentID), not \(printable(expectId))…")
    }
    if verify { try model.verify(progress: nil) }
    let runtime = try Runtime(
      model, profile: schedule.choose(from: model.schedule, file: file), engine: engine,
      precision: cache.precision)
    let loadSeconds = seconds(clock.now - start)

    let conversation = try runtime.conversation(
      sampling: sampling,
      stop: StopRule(
        endOfTextIDs: Set(model.configuration.endOfTextIDs.map(Int32.init)), texts: stop,
        maxTokens: maxTokens, ignoresEndOfText: ignoreEos))
    if prompt == nil, StandardInput.isTerminal {
      guard !raw, !json, trace == nil else {
        throw ValidationError(
          "--raw, --json and --trace need a prompt: a chat has no use for them.")
      }
      Chat(conversation, firstImages: image, isQuiet: quiet).run()
      return
    }
    let text = try prompt ?? StandardInput.readAll()
    let recorder = trace.map { _ in Trace() }
    let turn = try conversation.ask(
      prompt == nil ? trimmedEnd(text) : text, images: image.map(ImageSource.init(path:)),
      isRaw: raw, trace: recorder
    ) {
      StandardOutput.write($0)
    }
    StandardOutput.write("\n")
    if let trace, let recorder {
      try TraceFile.write(
        recorder, to: trace, k: runtime.profile.withdrawalLayer, prompt: text,
        answer: turn.answer)
    }
    let report = RunReport(
      turn: turn, session: conversation.session, loadSeconds: loadSeconds, start: start)
    if stats { StandardError.write(report.text) }
    if json { StandardOutput.write(report.json.text + "\n") }
  }

  private var sampling: SamplingOptions {
    var options = SamplingOptions()
    options.temperature = temp
    options.topK = topK
    options.topP = topP
    options.minP = minP
    options.repeatPenalty = repeatPenalty
    options.seed = seed
    return options
  }
}

/// `text` without the line break that a pipe adds at the end.
private func trimmedEnd(_ text: String) -> String {
  var text = text[...]
  while text.last?.isNewline == true { text = text.dropLast() }
  return String(text)
}
