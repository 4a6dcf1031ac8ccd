import Architecture
import TensorCore

/// What must be equal for the results of two runs to belong together.
package struct EvaluationSetup: Equatable, Sendable {
  /// Names the weights, as `VTWMFile.modelID`.
  package var model: String
  /// Names the questions and their answers.
  package var set: String
  package var questionCount: Int
  package var plan: EvaluationPlan
  package var options: QuestionOptions
  /// How keys and values are held, the instruction set and the threads.
  package var engine: Engine

  package struct Engine: Equatable, Sendable {
    package var precision: String
    package var instructionSet: String
    package var threads: Int

    package init(precision: String, instructionSet: String, threads: Int) {
      self.precision = precision
      self.instructionSet = instructionSet
      self.threads = threads
    }
  }

  package init(
    model: String, set: String, questionCount: Int, plan: EvaluationPlan,
    options: QuestionOptions, engine: Engine
  ) {
    self.model = model
    self.set = set
    self.questionCount = questionCount
    self.plan = plan
    self.options = options
    self.engine = engine
  }

  static let format = "vtwm-results"
  static let version = 1

  /// The first line of a results file.
  var json: JSONValue {
    [
      "format": .string(Self.format), "version": .integer(Self.version),
      "model": .string(model), "set": .string(set), "questions": .integer(questionCount),
      "schedules": .array(
        plan.schedules.map { ["name": .string($0.name), "segments": $0.segmentsJSON] }),
      "profiles": .array(
        plan.profiles.map {
          ["name": .string($0.name), "schedule": .integer($0.schedule)]
        }),
      "max_tokens": .integer(options.maxTokens),
      "compared_tokens": .integer(options.comparedTokens),
      "score": .object(
        JSONObject(
          options.rules.keys.sorted().map { ($0, .string(options.rules[$0]?.rawValue ?? "")) })),
      "kv": .string(engine.precision), "isa": .string(engine.instructionSet),
      "threads": .integer(engine.threads),
    ]
  }

  /// What differs, by member of the first line, where a file is not of this setup.
  private static let differences = [
    ("model", "another model or other weights"), ("set", "another set of questions"),
    ("questions", "another set of questions"), ("schedules", "other profiles"),
    ("profiles", "other profiles"), ("max_tokens", "another --max-tokens"),
    ("compared_tokens", "another --calib-tokens"), ("score", "another --score"),
    ("kv", "another --kv"), ("isa", "another instruction set"),
    ("threads", "another number of threads"),
  ]

  /// Why the results under the first line `header` do not belong to this setup; nil if they do.
  func mismatch(_ header: JSONValue) -> String? {
    let own = json
    return Self.differences.first { header[$0.0] != own[$0.0] }?.1
  }
}
