package import Architecture
package import Inference
package import Kernels
package import Prompting
package import SampleSets
package import TensorCore
import Statistics

/// How questions are asked and judged.
package struct QuestionOptions: Equatable, Sendable {
  /// Most tokens of an answer.
  package var maxTokens = 64
  /// Answer positions at which KL and agreement are measured, as at calibration.
  package var comparedTokens = 8
  /// The rule for a task; the empty name stands for all others.
  package var rules: [String: ScoringRule] = [:]

  package init() {}

  /// The rule for a sample: what was asked for, or what fits it; nil without an answer.
  package func rule(for sample: Sample) -> ScoringRule? {
    guard sample.answer != nil else { return nil }
    return rules[sample.task] ?? rules[""] ?? ScoringRule.fitting(sample)
  }
}

/// Asks a question under every schedule of a plan.
///
/// The image is read and encoded once.  Then every schedule in turn takes the prompt and answers, on
/// the clock; after that, off the clock, each goes back to the end of the prompt and is fed the
/// answer of the set, or else the full model's, so that logits of the same positions are compared.
package struct QuestionRunner {
  private let model: Model
  private let encoder: PromptEncoder
  private let imageSteps: ImageSteps?
  private let generator: Generator
  private let precision: KeyValueRows.Precision
  private let plan: EvaluationPlan
  private let options: QuestionOptions

  package init(
    model: Model, tokenizer: Tokenizer, encoder: PromptEncoder, imageSteps: ImageSteps?,
    precision: KeyValueRows.Precision, plan: EvaluationPlan, options: QuestionOptions
  ) {
    self.model = model
    self.encoder = encoder
    self.imageSteps = imageSteps
    self.precision = precision
    self.plan = plan
    self.options = options
    let ends = Set(model.configuration.endOfTextIDs.map(Int32.init))
    generator = Generator(
      tokenizer, stop: StopRule(endOfTextIDs: ends, maxTokens: options.maxTokens))
  }

  /// A question ready to be asked.
  private struct Prepared {
    var input: ModelInput
    var visual: Rows?
    var imageSeconds: Double
    var visionSeconds: Double
  }

  /// A schedule that has answered.
  private struct Answered {
    var session: Session
    var promptEnd: Session.Mark
    /// At the prompt's last row, `[1, vocabularySize]`.
    var logits: Rows
    var answer: Answer
    var prefillSeconds: Double
    var decodeSeconds: Double
  }

  /// Reads weights and wakes threads, so that the first question is timed like the others.
  package func warmUp(_ sample: Sample) throws(InputError) {
    let ready = try prepare(sample)
    _ = try answer(ready, plan.schedules[0])
  }

  /// - Parameter turn: the number of the question; schedules take turns in being first.
  /// - Throws: `InputError` if the question cannot be asked.
  package func ask(_ sample: Sample, turn: Int) throws(InputError) -> QuestionResult {
    let ready = try prepare(sample)
    let count = plan.schedules.count
    var answered = [Answered?](repeating: nil, count: count)
    for offset in 0..<count {
      let place = (turn + offset) % count
      answered[place] = try answer(ready, plan.schedules[place])
    }
    let all = answered.compactMap(\.self)
    let fed = fedTokens(sample, full: all[0])
    let expected = forcedLogits(all[0], fed)
    let rule = options.rule(for: sample)
    let runs = all.indices.map { place in
      let one = all[place]
      let found = place == 0 ? expected : forcedLogits(one, fed)
      return QuestionResult.Run(
        answer: one.answer.text, tokenCount: one.answer.ids.count, end: one.answer.end,
        isCorrect: isCorrect(one.answer.text, sample, rule), prefillSeconds: one.prefillSeconds,
        decodeSeconds: one.decodeSeconds,
        kl: zip(found, expected).map { found, expected in
          let kl = klDivergence(found.span, from: expected.span)
          return kl.isFinite ? kl : DivergenceSum.largest
        },
        agrees: zip(found, expected).map { argmax($0.span) == argmax($1.span) })
    }
    return QuestionResult(
      id: sample.id, task: sample.task, image: sample.soleImage, rule: rule,
      imageSeconds: ready.imageSeconds, visionSeconds: ready.visionSeconds, runs: runs)
  }

  private func prepare(_ sample: Sample) throws(InputError) -> Prepared {
    let question = sample.question ?? ""
    let imageCount = sample.images.count
    let marked =
      sample.isRaw
      ? try encoder.raw(question, imageCount: imageCount)
      : try encoder.firstTurn(question: question, imageCount: imageCount)
    let clock = ContinuousClock()
    let start = clock.now
    let pictures = try model.pictures(of: sample.images, steps: imageSteps)
    let read = clock.now
    let visual = pictures.isEmpty ? nil : try model.encode(pictures)
    return Prepared(
      input: marked.expanded(pictures.map(\.layout.rowCount)), visual: visual,
      imageSeconds: seconds(read - start),
      visionSeconds: pictures.isEmpty ? 0 : seconds(clock.now - read))
  }

  private func answer(
    _ ready: Prepared, _ schedule: ScheduleProfile
  ) throws(InputError) -> Answered {
    let session = Session(model, profile: schedule, precision: precision)
    var sampler = Sampler(SamplingOptions())
    let clock = ContinuousClock()
    let start = clock.now
    let logits = try session.prefill(ready.input, visual: ready.visual)
    let prefilled = clock.now
    let promptEnd = session.mark
    let answer = try generator.generate(session, from: logits, sampler: &sampler, emit: { _ in })
    let end = clock.now
    return Answered(
      session: session, promptEnd: promptEnd, logits: logits, answer: answer,
      prefillSeconds: seconds(prefilled - start), decodeSeconds: seconds(end - prefilled))
  }

  /// The tokens after the prompt whose rows predict further ones: those of the set's answer and its
  /// end, or of what the full model answered, but the last.
  private func fedTokens(_ sample: Sample, full: Answered) -> ArraySlice<Int32> {
    let endOfText = model.configuration.endOfTextIDs.prefix(1).map(Int32.init)
    var answer = full.answer.ids
    if let text = sample.answer {
      answer = encoder.answer(text) + endOfText
    } else if full.answer.end == .endOfText {
      answer += endOfText
    }
    full.session.rewind(to: full.promptEnd)
    return answer.prefix(min(options.comparedTokens, full.session.room + 1)).dropLast()
  }

  /// The logits at the prompt's last row and after each of `fed`.
  private func forcedLogits(_ answered: Answered, _ fed: ArraySlice<Int32>) -> [Rows] {
    answered.session.rewind(to: answered.promptEnd)
    return [answered.logits] + fed.map { answered.session.step($0) }
  }

  private func isCorrect(_ answer: String, _ sample: Sample, _ rule: ScoringRule?) -> Bool? {
    guard let rule, let expected = sample.answer else { return nil }
    return rule.accepts(answer, expected: expected, question: sample.question ?? "")
  }
}

extension Sample {
  /// The name of its image, if it has one only.
  var soleImage: String? { images.count == 1 ? images[0].name : nil }
}
