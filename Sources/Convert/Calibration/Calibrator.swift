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
    var outcome = Outcome(divergences: [], refused: [])
    let text = model.configuration.text
    var batch: [(sample: Sample, input: SweepInput)] = []
    var bytes = 0
    var done = 0
    func flush() {
      let size = batch.count
      outcome.divergences += sweep(batch) { layers in
        let share = Double(layers) / Double(text.layerCount)
        progress((Double(done) + share * Double(size)) / Double(max(samples.count, 1)))
      }
      done += size
      batch = []
      bytes = 0
    }
    for sample in samples {
      do {
        let input = try prepare(sample)
        let rows = input.input.ids.count
        let visualRows = input.input.imageRanges.reduce(0) { $0 + $1.count }
        bytes += LayerSweep.byteCount(rows: rows, textRows: rows - visualRows, text: text)
        batch.append((sample, input))
        if bytes >= options.batchBytes { flush() }
      } catch {
        outcome.refused.append(RefusedSample(id: sample.id, reason: error.description))
        done += 1
      }
    }
    flush()
    return outcome
  }

  /// Prompt, image rows and the answer rows to feed.
  ///
  /// The answer is the sample's own, followed by the end-of-text token, or else what the full model
  /// answers.  Compared are the prompt's last row and the rows of the answer's tokens but the last:
  /// each predicts the next token of the answer.
  private func prepare(_ sample: Sample) throws(InputError) -> SweepInput {
    var images: [PixelTensor] = []
    if !sample.images.isEmpty {
      guard let imageSteps else { throw InputError("", "this model takes no images") }
      for source in sample.images {
        images.append(try imageSteps.pixels(of: RGBImage(source)))
      }
    }
    let question = sample.question ?? ""
    let prompt =
      sample.isRaw
      ? try encoder.raw(question, imageCount: images.count)
      : try encoder.firstTurn(question: question, imageCount: images.count)
    let visual = images.isEmpty ? nil : try model.encode(images)
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
    guard input.ids.count <= model.configuration.text.contextLength else {
      throw InputError(
        "",
        "needs \(input.ids.count) rows; the context has "
          + "\(model.configuration.text.contextLength)")
    }
    return SweepInput(
      input: input, visual: visual, answerRows: prompt.ids.count - 1..<input.ids.count)
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

  private func sweep(
    _ batch: [(sample: Sample, input: SweepInput)], progress: (Int) -> Void
  ) -> [SampleDivergence] {
    guard !batch.isEmpty else { return [] }
    var divergences: [SampleDivergence] = []
    LayerSweep(model, precision: precision).run(batch.map(\.input), progress: progress) {
      index, full, branches in
      divergences.append(
        Self.compare(
          batch[index].sample, full: full, branches: branches,
          layerCount: model.configuration.text.layerCount, compute: model.compute))
    }
    return divergences
  }

  /// KL and agreement of every branch at every answer position.
  private static func compare(
    _ sample: Sample, full: Rows, branches: Rows, layerCount: Int, compute: Compute
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
