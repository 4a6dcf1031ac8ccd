package import Architecture
import Kernels
package import Prompting
package import TensorCore

/// What one turn took, in seconds of wall-clock time.
package struct TurnTimings: Sendable {
  /// Decoding image files and preprocessing their pixels.
  package var image = 0.0
  /// Vision tower and projector.
  package var vision = 0.0
  package var prefill = 0.0
  /// All steps after the first token.
  package var decode = 0.0
  /// When the first token was known, on the monotonic clock.
  package var firstTokenInstant: ContinuousClock.Instant?

  package init() {}
}

/// A conversation about images: turns in, streamed answers out.
package final class Conversation {
  package let session: Session
  private let encoder: PromptEncoder
  private let imageSteps: ImageSteps?
  private let generator: Generator
  private var sampler: Sampler
  /// The last token of an answer that was cut off; the next turn begins with it.
  private var pending: Int32?
  private var hasBegun = false

  package init(
    _ session: Session, encoder: PromptEncoder, imageSteps: ImageSteps?, generator: Generator,
    sampling: SamplingOptions
  ) {
    self.session = session
    self.encoder = encoder
    self.imageSteps = imageSteps
    self.generator = generator
    sampler = Sampler(sampling)
  }

  /// Forgets everything said.
  package func reset() {
    session.reset()
    pending = nil
    hasBegun = false
  }

  /// What one turn gave.
  package struct Turn {
    package var answer: Answer
    package var timings: TurnTimings
    /// Rows that the prompt of this turn had.
    package var promptRows: Int
  }

  /// Answers `text` about `images`.
  ///
  /// - Parameters:
  ///   - isRaw: the text is the whole prompt and `<image>` marks where an image goes.
  ///   - emit: receives the answer as it is written.
  /// - Throws: `InputError` for an image that cannot be used or a prompt that does not fit.
  package func ask(
    _ text: String, images sources: [ImageSource], isRaw: Bool, trace: Trace? = nil,
    emit: (String) -> Void
  ) throws(InputError) -> Turn {
    let clock = ContinuousClock()
    var timings = TurnTimings()
    var mark = clock.now
    func lap() -> Double {
      let now = clock.now
      defer { mark = now }
      return seconds(now - mark)
    }

    let prompt = try prompt(text, imageCount: sources.count, isRaw: isRaw)
    // Decoding an image leaves processors idle.
    let reading = session.model.readAhead(prompt, images: !sources.isEmpty)
    defer { reading.stop() }
    let pictures = try session.model.pictures(of: sources, steps: imageSteps)
    let input = prompt.expanded(pictures.map(\.layout.rowCount))
    guard input.ids.count <= session.room else {
      throw InputError(
        "",
        "the prompt needs \(input.ids.count) rows, but only \(session.room) of the context's "
          + "\(session.model.configuration.text.contextLength) are free")
    }
    reading.stop()
    timings.image = lap()
    let visual = pictures.isEmpty ? nil : try session.model.encode(pictures, trace: trace)
    if !pictures.isEmpty { session.model.dropVisionPages() }
    timings.vision = lap()
    let logits = try session.prefill(input, visual: visual, trace: trace)
    hasBegun = true
    pending = nil
    timings.prefill = lap()
    timings.firstTokenInstant = clock.now
    let answer = try generator.generate(session, from: logits, sampler: &sampler, emit: emit)
    pending = answer.pending
    timings.decode = lap()
    return Turn(answer: answer, timings: timings, promptRows: input.ids.count)
  }

  /// The new turn, with one row for each image.
  private func prompt(
    _ text: String, imageCount: Int, isRaw: Bool
  ) throws(InputError) -> ModelInput {
    var input =
      if isRaw {
        try encoder.raw(text, imageCount: imageCount)
      } else if hasBegun {
        try encoder.nextTurn(question: text, imageCount: imageCount)
      } else {
        try encoder.firstTurn(question: text, imageCount: imageCount)
      }
    if let pending {
      input.ids.insert(pending, at: 0)
      input.classes.insert(.generated, at: 0)
      input.imageRanges = input.imageRanges.map { $0.lowerBound + 1..<$0.upperBound + 1 }
    }
    return input
  }
}

/// `duration` in seconds.
package func seconds(_ duration: Duration) -> Double {
  let (seconds, attoseconds) = duration.components
  return Double(seconds) + Double(attoseconds) * 1e-18
}
