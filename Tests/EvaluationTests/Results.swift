import Architecture
import Evaluation
import Inference
import SampleSets

/// Questions and results made up for tests.
enum Results {
  static let plan = EvaluationPlan(
    [
      ScheduleProfile(name: "default", withdrawingAt: 2, of: 4),
      ScheduleProfile(name: "never", withdrawingAt: 4, of: 4),
      ScheduleProfile(name: "same", withdrawingAt: 2, of: 4),
    ], layerCount: 4)

  static func setup(
    model: String = "m", set: String = "s", count: Int = 3, plan: EvaluationPlan = plan,
    threads: Int = 2, change: (inout QuestionOptions) -> Void = { _ in }
  ) -> EvaluationSetup {
    var options = QuestionOptions()
    change(&options)
    return EvaluationSetup(
      model: model, set: set, questionCount: count, plan: plan, options: options,
      engine: .init(precision: "f16", instructionSet: "avx2", threads: threads))
  }

  static func sample(_ id: String, task: String = "t", answer: String? = "red") -> Sample {
    Sample(id: id, task: task, images: [], question: "What?", answer: answer)
  }

  static func run(
    _ answer: String = "red", tokens: Int = 1, correct: Bool? = true, prefill: Double = 1,
    decode: Double = 0.5, kl: [Double] = [0, 0], agrees: [Bool] = [true, true]
  ) -> QuestionResult.Run {
    QuestionResult.Run(
      answer: answer, tokenCount: tokens, end: .endOfText, isCorrect: correct,
      prefillSeconds: prefill, decodeSeconds: decode, kl: kl, agrees: agrees)
  }

  static func result(
    _ id: String, task: String = "t", image: String? = nil, rule: ScoringRule? = .exact,
    _ runs: [QuestionResult.Run]
  ) -> QuestionResult {
    QuestionResult(
      id: id, task: task, image: image, rule: rule, imageSeconds: 0.25, visionSeconds: 0.125,
      runs: runs)
  }
}
