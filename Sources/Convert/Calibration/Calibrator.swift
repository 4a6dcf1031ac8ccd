package import Architecture
package import Inference
package import Kernels
package import Prompting
package import SampleSets
import TensorCore
import Statistics

/// How a calibration is carried out.
package struct CalibrationOptions: Sendable {
  /// Answer positions compared per sample.
  package var answerTokens = 8
  /// Bytes that the hidden states of one batch of samples may take.
  package var batchBytes = 1 << 30

  package init() {}
}

/// Measures what withdrawing at each layer does to the answers of a set.
package struct Calibrator {
  private let model: Model
  private let tokenizer: Tokenizer
  private let encoder: PromptEncoder
  private let imageSteps: ImageSteps?
  private let precision: KeyValueRows.Precision
  private let options: CalibrationOptions

  package init(
    model: Model, tokenizer: Tokenizer, encoder: PromptEncoder, imageSteps: ImageSteps?,
    precision: KeyValueRows.Precision, options: CalibrationOptions
  ) {
    self.model = model
    self.tokenizer = tokenizer
    self.encoder = encoder
    self.imageSteps = imageSteps
    self.precision = precision
    self.options = options
  }

  /// What happened to the samples.
  package struct Outcome {
    package var divergences: [SampleDivergence]
    /// Samples that could not be used, each with the reason.
    package var refused: [RefusedSample]
  }

  /// Sweeps over `samples` in batches that fit the memory bound.
  ///
  /// - Parameter progress: share done, 0...1.
  package func run(_ samples: [Sample], progress: (Double) -> Void) -> Outcome {
    var divergences: [SampleDivergence] = []
    let text = model.configuration.text
    let refused = inBatches(
      samples,
      byteCount: { rows, textRows in
        LayerSweep.byteCount(rows: rows, textRows: textRows, text: text)
      }
    ) { batch, done in
      divergences += sweep(batch) { layers in
        progress(share(done, batch.count, layers, of: samples.count))
      }
    }
    return Outcome(divergences: divergences, refused: refused)
  }

  /// The second moments of the inputs of every product in the full pass over `samples`, images and
  /// answers included.  Samples that cannot be used are passed over; `run` names them.
  ///
  /// - Parameter progress: share done, 0...1.
  package func inputMoments(_ samples: [Sample], progress: (Double) -> Void) -> InputMoments {
    let moments = InputMoments()
    _ = inBatches(
      samples, observe: moments.add, byteCount: { rows, _ in FullPass.byteCount(rows, of: model) }
    ) { batch, done in
      FullPass(model, precision: precision).run(batch.map(\.input), observe: moments.add) {
        layers in progress(share(done, batch.count, layers, of: samples.count))
      }
    }
    return moments
  }

  /// The share of `total` samples that is done when `done` are and a batch has passed `layers`.
  private func share(_ done: Int, _ batchCount: Int, _ layers: Int, of total: Int) -> Double {
    let part = Double(layers) / Double(model.configuration.text.layerCount)
    return (Double(done) + part * Double(batchCount)) / Double(max(total, 1))
  }

  /// Prepares `samples` and hands them to `body` in batches within the memory bound.
  ///
  /// - Parameters:
  ///   - observe: is shown the inputs of the products of tower and projector.
  ///   - byteCount: what a sample of so many rows, so many of them text, takes in a batch.
  ///   - body: takes a batch and the number of samples before it.
  /// - Returns: the samples that cannot be used.
  private func inBatches(
    _ samples: [Sample], observe: InputObserver? = nil, byteCount: (Int, Int) -> Int,
    body: (Batch, Int) -> Void
  ) -> [RefusedSample] {
    var refused: [RefusedSample] = []
    var batch: Batch = []
    var bytes = 0
    var done = 0
    func flush() {
      guard !batch.isEmpty else { return }
      body(batch, done)
      done += batch.count
      batch = []
      bytes = 0
    }
    for sample in samples {
      do {
        let input = try prepare(sample, observe)
        let rows = input.input.ids.count
        let visualRows = input.input.imageRanges.reduce(0) { $0 + $1.count }
        bytes += byteCount(rows, rows - visualRows)
        batch.append((sample, input))
        if bytes >= options.batchBytes { flush() }
      } catch {
        refused.append(RefusedSample(id: sample.id, reason: error.description))
        done += 1
      }
    }
    flush()
    return refused
  }

  private typealias Batch = [(sample: Sample, input: SweepInput)]

  /// Prompt, image rows and the answer rows to feed.
  ///
  /// The answer is the sample's own, followed by the end-of-text token, or else what the full model
  /// answers.  Compared are the prompt's last row and the rows of the answer's tokens but the last:
  /// each predicts the next token of the answer.
  private func prepare(
    _ sample: Sample, _ observe: InputObserver? = nil
  ) throws(InputError) -> SweepInput {
    let images = try pixels(sample)
    let question = sample.question ?? ""
    let prompt =
      sample.isRaw
      ? try encoder.raw(question, imageCount: images.count)
      : try encoder.firstTurn(question: question, imageCount: images.count)
    let visual = images.isEmpty ? nil : try model.encode(images, observe: observe)
    var answer: [Int32]
    if let text = sample.answer {
      answer = encoder.answer(text)
      answer += model.configuration.endOfTextIDs.prefix(1).map(Int32.init)
    } else {
      answer = try greedyAnswer(prompt, visual: visual)
    }
    let fed = answer.prefix(options.answerTokens).dropLast()
    var input = prompt
    input.ids += fed
    input.classes += fed.map { _ in TokenClass.generated }
    try checkLength(input)
    return SweepInput(
      input: input, visual: visual, answerRows: prompt.ids.count - 1..<input.ids.count)
  }

  private func checkLength(_ input: ModelInput) throws(InputError) {
    let context = model.configuration.text.contextLength
    guard input.ids.count <= context else {
      throw InputError("", "needs \(input.ids.count) rows; the context has \(context)")
    }
  }

  private func pixels(_ sample: Sample) throws(InputError) -> [PixelTensor] {
    var images: [PixelTensor] = []
    guard !sample.images.isEmpty else { return images }
    guard let imageSteps else { throw InputError("", "this model takes no images") }
    for source in sample.images { images.append(try imageSteps.pixels(of: RGBImage(source))) }
    return images
  }

  /// The full model's own answer, up to the number of positions compared.
  private func greedyAnswer(_ prompt: ModelInput, visual: Rows?) throws(InputError) -> [Int32] {
    let layerCount = model.configuration.text.layerCount
    let session = Session(
      model, profile: ScheduleProfile(withdrawingAt: layerCount, of: layerCount),
      precision: precision)
    var logits = try session.prefill(prompt, visual: visual)
    var sampler = Sampler(SamplingOptions())
    var answer: [Int32] = []
    while true {
      let token = try sampler.next(logits)
      answer.append(token)
      let isEnd = model.configuration.endOfTextIDs.contains(Int(token))
      if isEnd || answer.count == options.answerTokens || session.room == 0 { return answer }
      logits = session.step(token)
    }
  }

  /// What other weights of the same model change: KL(other‖this) at every answer position, both
  /// without withdrawal, each side with its own image rows.
  ///
  /// A raw sample without images is text whose every row is compared.  Answers that a sample lacks
  /// are those of this model.
  ///
  /// - Parameter progress: share done, 0...1.
  /// - Returns: divergences with one row instead of one per K.
  package func compare(
    with other: Calibrator, on samples: [Sample], progress: (Double) -> Void
  ) -> Outcome {
    var outcome = Outcome(divergences: [], refused: [])
    for (index, sample) in samples.enumerated() {
      do {
        let isText = sample.isRaw && sample.images.isEmpty
        let input = isText ? try text(sample) : try prepare(sample)
        var otherInput = input
        if input.visual != nil {
          otherInput.visual = try other.model.encode(other.pixels(sample))
        }
        let expected = answerLogits(input)
        let found = other.answerLogits(otherInput)
        outcome.divergences.append(
          Self.compare(sample, full: expected, branches: found, layerCount: 1))
      } catch {
        outcome.refused.append(RefusedSample(id: sample.id, reason: error.description))
      }
      progress(Double(index + 1) / Double(samples.count))
    }
    return outcome
  }

  /// A text by itself; every row predicts a token.
  private func text(_ sample: Sample) throws(InputError) -> SweepInput {
    let input = try encoder.raw(sample.question ?? "", imageCount: 0)
    guard !input.ids.isEmpty else { throw InputError("", "has no tokens") }
    try checkLength(input)
    return SweepInput(input: input, visual: nil, answerRows: 0..<input.ids.count)
  }

  private func answerLogits(_ input: SweepInput) -> Rows {
    let normed = FullPass(model, precision: precision).run([input])
    return model.decoder.logits(normed[0])
  }

  private func sweep(
    _ batch: Batch, progress: (Int) -> Void
  ) -> [SampleDivergence] {
    var divergences: [SampleDivergence] = []
    LayerSweep(model, precision: precision).run(batch.map(\.input), progress: progress) {
      index, full, branches in
      divergences.append(
        Self.compare(
          batch[index].sample, full: full, branches: branches,
          layerCount: model.configuration.text.layerCount))
    }
    return divergences
  }

  /// KL and agreement of every branch at every answer position.
  private static func compare(
    _ sample: Sample, full: Rows, branches: Rows, layerCount: Int
  ) -> SampleDivergence {
    var kl: [[Double]] = []
    var agrees: [[Bool]] = []
    for k in 0..<layerCount {
      var divergences: [Double] = []
      var matches: [Bool] = []
      for position in 0..<full.count {
        let expected = full[position..<position + 1]
        let row = k * full.count + position
        let found = branches[row..<row + 1]
        divergences.append(klDivergence(found.span, from: expected.span))
        matches.append(argmax(found.span) == argmax(expected.span))
      }
      kl.append(divergences)
      agrees.append(matches)
    }
    return SampleDivergence(task: sample.task, id: sample.id, kl: kl, agrees: agrees)
  }
}
