package import Architecture
package import Inference
package import Kernels
package import Prompting
package import SampleSets
package import TensorCore
import Statistics

/// How a calibration is carried out.
package struct CalibrationOptions: Sendable {
  /// Answer positions compared per sample.
  package var answerTokens = 8
  /// Bytes that it may take beside the mapped weights, as `SweepMemory` counts them.
  package var memoryBytes = 1 << 30
  /// Whether a sample that needs more by itself is an error.
  package var isMemoryStrict = false

  package init() {}
}

/// Measures what withdrawing at each layer does to the answers of a set.
package struct Calibrator {
  let model: Model
  let imageSteps: ImageSteps?
  let precision: KeyValueRows.Precision
  private let encoder: PromptEncoder
  private let options: CalibrationOptions
  private let source: SourceModel?

  /// - Parameter source: what every sample is compared with too.
  package init(
    model: Model, encoder: PromptEncoder, imageSteps: ImageSteps?,
    precision: KeyValueRows.Precision, options: CalibrationOptions, source: SourceModel? = nil
  ) {
    self.model = model
    self.encoder = encoder
    self.imageSteps = imageSteps
    self.precision = precision
    self.options = options
    self.source = source
  }

  /// What happened to the samples.
  package struct Outcome {
    package var divergences: [SampleDivergence] = []
    /// Samples that could not be used, each with the reason.
    package var refused: [RefusedSample] = []
    /// What the full model says of each, by id, if that was asked for.
    package var answers: [String: FullAnswer] = [:]
  }

  /// What the full model says of a sample: later passes are compared with it.
  package struct FullAnswer {
    /// The first tokens of the answer, which are fed.
    package var fed: [Int32]
    /// `[answer rows, vocabularySize]`.
    package var logits: Rows
  }

  /// Sweeps over `samples` in batches that fit the memory bound.
  ///
  /// - Parameters:
  ///   - plan: what to measure beside withdrawal at every layer.  Without withdrawal, the answers
  ///     of the full model must be known.
  ///   - answers: of the full model, as an earlier run kept them.
  ///   - keepsAnswers: whether to keep them now.
  ///   - progress: false ends the run, and the batch at hand is lost.
  ///   - batchDone: takes what each batch gave.
  /// - Returns: whether all samples were looked at.
  /// - Throws: `InputError` if the memory bound is too small for a sample, or by `batchDone`.
  @discardableResult
  package func run(
    _ samples: [Sample], plan: LayerSweep.Plan = LayerSweep.Plan(),
    answers: [String: FullAnswer] = [:], keepsAnswers: Bool = false,
    progress: (CalibrationProgress) -> Bool, batchDone: (Outcome) throws(InputError) -> Void
  ) throws(InputError) -> Bool {
    let points = plan.points
    let layerCount = model.configuration.text.layerCount
    return try inBatches(
      samples, plan: plan, prepare: prepare(for: plan, answers),
      progress: { progress(CalibrationProgress(share: $0)) }
    ) { (batch, refused, share) throws(InputError) in
      var outcome = Outcome(divergences: [], refused: refused)
      let first = Int((share(0) * Double(samples.count)).rounded())
      let current = first..<first + batch.count + refused.count
      // Samples are compared with the source once.
      let source = plan.withdraws ? self.source : nil
      var logits: [Rows] = []
      let part = source == nil ? 1 : Self.sweepShare
      let work = LayerSweep(model, precision: precision, plan: plan).run(
        batch.map(\.input),
        progress: { done in
          progress(
            CalibrationProgress(
              share: share(part * done), samples: current,
              layer: Int((done * Double(layerCount)).rounded(.up)) - 1))
        }
      ) { index, finding in
        let (sample, input) = batch[index]
        let full = plan.withdraws ? finding.full : (answers[sample.id]?.logits ?? finding.full)
        var divergence = SampleDivergence(task: sample.task, id: sample.id, kl: [], agrees: [])
        if plan.withdraws {
          divergence = Self.compare(
            sample, full: full, branches: finding.branches,
            layerCount: layerCount)
          divergence.migration = finding.migration
        }
        divergence.promptRows = input.promptRows
        divergence.schedules = Dictionary(
          uniqueKeysWithValues: zip(
            points.map { $0.states(layerCount) },
            Self.compare(full, finding.schedules, count: points.count)))
        outcome.divergences.append(divergence)
        if keepsAnswers { outcome.answers[sample.id] = Self.answer(input, full) }
        if source != nil { logits.append(finding.full) }
      }
      guard work != nil else { return false }
      if let source {
        let expected = try source.logits(
          batch.map(\.input),
          pictures: { (index) throws(InputError) in try pictures(batch[index].sample) },
          progress: { progress(CalibrationProgress(share: share(part + (1 - part) * $0))) })
        guard let expected else { return false }
        for (index, (found, expected)) in zip(logits, expected).enumerated() {
          let compared = Self.compare(
            batch[index].sample, full: expected, branches: found, layerCount: 1)
          outcome.divergences[index].packing = AnswerDivergence(
            kl: compared.kl[0], agrees: compared.agrees[0])
        }
      }
      try batchDone(outcome)
      return true
    }
  }

  /// Runs `samples` under each of `schedules` by itself, and compares with the full model.
  ///
  /// - Parameters:
  ///   - answers: of the full model, where they are known.
  ///   - progress: takes the share done, 0...1; false ends the run.
  /// - Returns: divergences of the schedules, without any K, and all answers of the full model; nil
  ///   if `progress` ended it.
  /// - Throws: `InputError` if the memory bound is too small for a sample.
  package func run(
    _ samples: [Sample], as schedules: [ScheduleCosts.States],
    answers: [String: FullAnswer] = [:],
    progress: (Double) -> Bool
  ) throws(InputError) -> Outcome? {
    var outcome = Outcome()
    outcome.answers = answers
    let plan = LayerSweep.Plan(withdraws: false)
    let isComplete = try inBatches(
      samples, plan: plan, prepare: prepare(for: plan, answers), progress: progress
    ) { (batch, refused, share) throws(InputError) in
      outcome.refused += refused
      let inputs = batch.map(\.input)
      /// The logits of `indices` of the batch at their answer rows, in turn.
      func logits(
        _ indices: [Int], _ profile: ScheduleProfile?, _ part: Range<Double>
      ) throws(InputError) -> [Rows]? {
        let ends = try FullPass(model, precision: precision, profile: profile).run(
          indices.map { inputs[$0] },
          progress: { layers in
            let layerCount = Double(model.configuration.text.layerCount)
            let done = Double(layers) / layerCount * (part.upperBound - part.lowerBound)
            return progress(share(part.lowerBound + done))
          })
        return ends?.map(model.decoder.logits)
      }
      let unknown = batch.indices.filter { answers[batch[$0].sample.id] == nil }
      let passes = Double(schedules.count + (unknown.isEmpty ? 0 : 1))
      let first = unknown.isEmpty ? 0 : 1 / passes
      guard let found = try logits(unknown, nil, 0..<first) else { return false }
      for (index, full) in zip(unknown, found) {
        outcome.answers[batch[index].sample.id] = Self.answer(inputs[index], full)
      }
      var divergences = batch.map { sample, input in
        var divergence = SampleDivergence(task: sample.task, id: sample.id, kl: [], agrees: [])
        divergence.promptRows = input.promptRows
        return divergence
      }
      for (place, states) in schedules.enumerated() {
        let profile = ScheduleProfile(name: "", states: states)
        let start = first + Double(place) / passes
        guard
          let found = try logits(Array(batch.indices), profile, start..<start + 1 / passes)
        else { return false }
        for (index, own) in found.enumerated() {
          guard let full = outcome.answers[batch[index].sample.id] else { continue }
          divergences[index].schedules[states] = Self.compare(full.logits, own, count: 1).first
        }
      }
      outcome.divergences += divergences
      return true
    }
    return isComplete ? outcome : nil
  }

  /// Prepares samples for `plan`, with the answers that are known.
  private func prepare(
    for plan: LayerSweep.Plan, _ answers: [String: FullAnswer]
  ) -> (Sample) throws(InputError) -> SweepInput {
    { (sample) throws(InputError) in
      var input = try prepare(sample, fed: answers[sample.id]?.fed)
      // Forks start from rows that a pass which only found the answer did not keep.
      if !plan.withdraws || !plan.forks.isEmpty { input.fullPass = nil }
      return input
    }
  }

  private static func answer(_ input: SweepInput, _ logits: Rows) -> FullAnswer {
    FullAnswer(
      fed: Array(input.input.ids[(input.answerRows.lowerBound + 1)...]), logits: logits)
  }

  // What a sweep takes of the time, if the source runs after it: about two prefills of three.
  private static let sweepShare = 2.0 / 3

  /// The second moments of the inputs of every product in the full pass over `samples`, images and
  /// answers included.  Samples that cannot be used are passed over; `run` names them.
  ///
  /// - Parameter progress: share done, 0...1.
  /// - Throws: `InputError` if the memory bound is too small for a sample.
  package func inputMoments(
    _ samples: [Sample], progress: (Double) -> Void
  ) throws(InputError) -> InputMoments {
    let moments = InputMoments()
    let layerCount = Double(model.configuration.text.layerCount)
    try inBatches(
      samples,
      prepare: { (sample) throws(InputError) in
        try prepareAnyText(sample, observe: moments.add)
      },
      progress: {
        progress($0)
        return true
      }
    ) { (batch, _, share) throws(InputError) in
      try FullPass(model, precision: precision).run(
        batch.map(\.input), observe: moments.add,
        progress: {
          progress(share(Double($0) / layerCount))
          return true
        })
      return true
    }
    return moments
  }

  private typealias Batch = [(sample: Sample, input: SweepInput)]

  // A larger batch reads the weights hardly less often, but an interruption loses more.
  private static let mostInBatch = 32

  /// Prepares `samples` and hands them to `body` in batches within the memory bound.
  ///
  /// - Parameters:
  ///   - plan: what the samples are prepared for.
  ///   - prepare: makes the input of a sample.
  ///   - progress: takes the share done, 0...1; false ends the run.
  ///   - body: takes a batch, the samples beside it that cannot be used, and what turns a share of
  ///     the batch into one of all samples; false ends the run.
  /// - Returns: whether all samples were looked at.
  /// - Throws: `InputError` if the memory bound is too small for a sample, or by `body`.
  @discardableResult
  private func inBatches(
    _ samples: [Sample], plan: LayerSweep.Plan = LayerSweep.Plan(),
    prepare: (Sample) throws(InputError) -> SweepInput,
    progress: (Double) -> Bool,
    body: (Batch, [RefusedSample], (Double) -> Double) throws(InputError) -> Bool
  ) throws(InputError) -> Bool {
    var next = 0
    // A sample that was ready, but too large for the batch before.
    var carried: SweepInput?
    while next < samples.count {
      let first = next
      var batch: Batch = []
      var refused: [RefusedSample] = []
      var memory = SweepMemory(
        model.configuration.text, precision: precision, answerTokens: options.answerTokens,
        comparesSource: source != nil && plan.withdraws, plan: plan)
      while next < samples.count, batch.count < Self.mostInBatch {
        guard progress(Double(first) / Double(samples.count)) else { return false }
        let sample = samples[next]
        do throws(InputError) {
          let input: SweepInput
          if let ready = carried { input = ready } else { input = try prepare(sample) }
          carried = nil
          var grown = memory
          grown.add(input)
          if grown.byteCount > options.memoryBytes, !batch.isEmpty {
            carried = input
            break
          }
          memory = grown
          batch.append((sample, input))
        } catch {
          refused.append(RefusedSample(id: sample.id, reason: error.description))
        }
        next += 1
      }
      guard !options.isMemoryStrict || memory.byteCount <= options.memoryBytes else {
        throw InputError(
          "",
          "sample \(printable(batch[0].sample.id)) needs \(memory.byteCount >> 20 + 1) MiB, but "
            + "--max-memory allows \(options.memoryBytes >> 20)")
      }
      let size = next - first
      let goesOn = try body(batch, refused) {
        (Double(first) + $0 * Double(size)) / Double(samples.count)
      }
      guard goesOn else { return false }
    }
    return true
  }

  /// Prompt, image rows and the answer rows to feed.
  ///
  /// The answer is the sample's own, followed by the end-of-text token, or else what the full model
  /// answers.  Compared are the prompt's last row and the rows of the answer's tokens but the last:
  /// each predicts the next token of the answer.
  ///
  /// - Parameter fed: the answer rows to feed, where they are known.
  private func prepare(
    _ sample: Sample, _ observe: InputObserver? = nil, fed known: [Int32]? = nil
  ) throws(InputError) -> SweepInput {
    let pictures = try pictures(sample)
    let prompt = try prompt(sample, pictures)
    guard let last = prompt.classes.last, ClassMask.text.contains(last) else {
      throw InputError("", "the prompt ends with an image; an answer follows text")
    }
    try checkLength(prompt)
    let visual = pictures.isEmpty ? nil : try model.encode(pictures, observe: observe)
    var answer: [Int32]
    var fullPass: FullPassRecord?
    if let known {
      // The last token is predicted, not fed.
      answer = known + [0]
    } else if let text = sample.answer {
      answer = encoder.answer(text)
      answer += model.configuration.endOfTextIDs.prefix(1).map(Int32.init)
    } else {
      let found = try GreedyAnswer(
        prompt, visual: visual, mostTokens: options.answerTokens, model: model,
        precision: precision)
      answer = found.ids
      fullPass = found.record
    }
    let fed = answer.prefix(options.answerTokens).dropLast()
    var input = prompt
    input.ids += fed
    input.classes += fed.map { _ in TokenClass.generated }
    try checkLength(input)
    return SweepInput(
      input: input, visual: visual, answerRows: prompt.ids.count - 1..<input.ids.count,
      fullPass: fullPass)
  }

  /// The same, but a raw sample without images is text whose every row predicts a token.
  private func prepareAnyText(
    _ sample: Sample, observe: InputObserver? = nil
  ) throws(InputError) -> SweepInput {
    guard sample.isRaw, sample.images.isEmpty else { return try prepare(sample, observe) }
    let input = try encoder.raw(sample.question ?? "", imageCount: 0)
    guard !input.ids.isEmpty else { throw InputError("", "has no tokens") }
    try checkLength(input)
    return SweepInput(input: input, visual: nil, answerRows: 0..<input.ids.count)
  }

  /// The sample's question about `pictures`, ready to be answered.
  func prompt(_ sample: Sample, _ pictures: [Picture]) throws(InputError) -> ModelInput {
    let question = sample.question ?? ""
    let marked =
      sample.isRaw
      ? try encoder.raw(question, imageCount: pictures.count)
      : try encoder.firstTurn(question: question, imageCount: pictures.count)
    return marked.expanded(pictures.map(\.layout.rowCount))
  }

  private func checkLength(_ input: ModelInput) throws(InputError) {
    let context = model.configuration.text.contextLength
    guard input.ids.count <= context else {
      throw InputError("", "needs \(input.ids.count) rows; the context has \(context)")
    }
  }

  func pictures(_ sample: Sample) throws(InputError) -> [Picture] {
    guard !sample.images.isEmpty else { return [] }
    guard let imageSteps, let vision = model.configuration.vision else {
      throw InputError("", "this model takes no images")
    }
    return try imageSteps.pictures(of: sample.images, vision: vision)
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
        let input = try prepareAnyText(sample)
        var otherInput = input
        if input.visual != nil {
          otherInput.visual = try other.model.encode(other.pictures(sample))
        }
        let expected = try answerLogits(input)
        let found = try other.answerLogits(otherInput)
        outcome.divergences.append(
          Self.compare(sample, full: expected, branches: found, layerCount: 1))
      } catch {
        outcome.refused.append(RefusedSample(id: sample.id, reason: error.description))
      }
      progress(Double(index + 1) / Double(samples.count))
    }
    return outcome
  }

  private func answerLogits(_ input: SweepInput) throws(InputError) -> Rows {
    guard let normed = try FullPass(model, precision: precision).run([input]) else {
      preconditionFailure("nothing ends this pass")
    }
    return model.decoder.logits(normed[0])
  }

  /// KL and agreement of every branch at every answer position.
  private static func compare(
    _ sample: Sample, full: Rows, branches: Rows, layerCount: Int
  ) -> SampleDivergence {
    let rows = compare(full, branches, count: layerCount)
    return SampleDivergence(
      task: sample.task, id: sample.id, kl: rows.map(\.kl), agrees: rows.map(\.agrees))
  }

  /// How `count` passes, whose logits stand one after another, differ from the full model's; no
  /// rows of them stand for passes that do not differ.
  private static func compare(_ full: Rows, _ passes: Rows, count: Int) -> [AnswerDivergence] {
    let best = (0..<full.count).map { argmax(full[$0..<$0 + 1].span) }
    return (0..<count).map { pass in
      guard passes.count > 0 else {
        return AnswerDivergence(kl: best.map { _ in 0 }, agrees: best.map { _ in true })
      }
      var divergence = AnswerDivergence(kl: [], agrees: [])
      for position in 0..<full.count {
        let row = pass * full.count + position
        let found = passes[row..<row + 1]
        divergence.kl.append(klDivergence(found.span, from: full[position..<position + 1].span))
        divergence.agrees.append(argmax(found.span) == best[position])
      }
      return divergence
    }
  }
}
