import Architecture
import ArgumentParser
import Calibration
import CommandSupport
import Evaluation
import Glibc
import Inference
import Kernels
import RuntimeSupport
import SampleSets
import TensorCore
import VTWMFile

@main
struct Entry {
  static func main() { Program.run(VTWEval.self) }
}

struct VTWEval: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vtweval",
    abstract: "Measure what withdrawal does to the answers of a set, task by task.",
    discussion: """
      Every question is answered greedily by the full model and by each profile in turn, and timed: \
      accuracy, answers that stay the full model's, KL and top-1 agreement at the answer positions, \
      length and time, paired question by question, with 95 % confidence intervals. \
      formats/evaluation.md defines all of it, and --results and --json. Ctrl-C ends after the \
      question at hand. With --against, nothing is withdrawn: KL(this file || the reference) tells \
      what packing cost, over the answers' tokens, or over every token of a .txt file, whose lines \
      are texts; --kv is then for this file alone.
      """,
    version: Program.version)

  @Argument(help: ArgumentHelp("The model.", valueName: "file.vtwm"), transform: nonemptyPath)
  var file: String

  @Argument(
    help: ArgumentHelp("Image-and-question sets.", valueName: "[name=]path"),
    transform: nonemptyPath)
  var sets: [String]

  @OptionGroup var answers: AnswerOptions

  @Option(
    help: ArgumentHelp(
      "Compare with the same model in other weights, such as its source in f32.",
      valueName: "reference.vtwm"), transform: nonemptyPath)
  var against: String?

  @Option(help: "Use at most so many samples.")
  var limit: Int?

  @Option(help: "Seed of the sampling.")
  var seed: UInt64 = 0

  @Option(name: [.customShort("n"), .customLong("max-tokens")], help: "Most tokens to answer.")
  var maxTokens = 64

  @OptionGroup(title: "Engine") var engine: EngineOptions
  @OptionGroup(title: "Engine") var cache: CacheOptions

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  @Flag(help: "No progress.")
  var quiet = false

  mutating func validate() throws {
    guard !sets.isEmpty else { throw ValidationError("Name at least one set.") }
    guard maxTokens > 0 else { throw ValidationError("--max-tokens must be at least 1.") }
    guard against == nil || !answers.isUsed else {
      throw ValidationError("--against compares files; profiles and answers have no part in it.")
    }
    if let limit, limit < 1 { throw ValidationError("--limit must be at least 1.") }
  }

  mutating func run() throws {
    let model = try VTWMFile(opening: file)
    if let against {
      try compare(model, with: VTWMFile(opening: against))
      return
    }
    guard model.configuration.vision != nil else {
      throw InputError(file, "is a text-only model; there is nothing to withdraw")
    }
    let runtime = try Runtime(
      model, profile: model.schedule.profiles[model.schedule.defaultProfile], engine: engine,
      precision: cache.precision)
    let plan = EvaluationPlan(
      try answers.profiles(of: model.schedule, file: file), layerCount: model.schedule.layerCount)
    let samples = try samples { (argument) throws(InputError) in try SampleSet(argument: argument) }
    let questions = try answers.questions(maxTokens: maxTokens, tasks: samples.tasks)
    let compute = runtime.model.compute
    let setup = EvaluationSetup(
      model: model.modelID, set: fingerprint(samples.samples.map { ($0, false) }),
      questionCount: samples.samples.count, plan: plan, options: questions,
      engine: .init(
        precision: runtime.precision.rawValue, instructionSet: compute.instructionSet.rawValue,
        threads: compute.threads))
    let results = try answers.results.map { (path) throws(InputError) in
      try ResultsFile(
        path, setup: setup, samples: samples.samples, resumes: answers.resume, inputs: [file])
    }
    let runner = QuestionRunner(
      model: runtime.model, tokenizer: runtime.tokenizer, encoder: runtime.encoder,
      imageSteps: model.imageSteps, precision: runtime.precision, plan: plan, options: questions)
    let progress = ProgressLine("evaluating", isQuiet: quiet)
    let run = try InterruptCleanup.deferring {
      try AnswerRun(runner, on: samples.samples, file: results) { progress.update($0) }
    }
    progress.finish()
    try report(
      samples.refused + run.refused, used: run.results.count, isComplete: run.isComplete)
    let summary = EvaluationSummary(run.results, plan: plan)
    if json {
      var result = JSONObject([
        ("model", .string(setup.model)), ("questions", .integer(run.questionCount)),
        ("done", .integer(run.doneCount)), ("refused", .integer(run.refused.count)),
        ("profiles", summary.profilesJSON),
      ])
      result["own_profiles"] = summary.ownProfilesJSON
      StandardOutput.write(JSONValue.object(result).text + "\n")
    } else if !run.results.isEmpty {
      StandardOutput.write(summary.text)
    }
    guard run.isComplete else {
      let next = results == nil ? "" : "; the same command with --resume goes on"
      StandardError.write(
        "interrupted: \(run.doneCount) of \(run.questionCount) questions are done\(next)\n")
      throw ExitCode(128 + (InterruptCleanup.signal ?? SIGINT))
    }
  }

  /// What packing cost `model`, as `reference` tells.
  private func compare(_ model: VTWMFile, with reference: VTWMFile) throws {
    guard model.configuration.text.vocabularySize == reference.configuration.text.vocabularySize,
      model.configuration.vision?.rowsPerTile == reference.configuration.vision?.rowsPerTile,
      model.configuration.vision?.tiling == reference.configuration.vision?.tiling,
      model.tokenizer.pieces == reference.tokenizer.pieces
    else { throw InputError(file, "is not the same model as '\(printable(reference.path))'") }
    let samples = try samples { (argument) throws(InputError) in
      TextLines.isOne(argument)
        ? try TextLines.read(argument) : try SampleSet(argument: argument)
    }
    let progress = ProgressLine("comparing", isQuiet: quiet)
    let comparison = try PackingComparison(
      model, reference: reference, answerTokens: maxTokens, engine: engine,
      precision: cache.precision, samples: samples.samples
    ) { progress.update($0) }
    progress.finish()
    try report(samples.refused + comparison.refused, used: comparison.sampleCount)
    StandardOutput.write(json ? comparison.json.text + "\n" : comparison.table)
  }

  private func samples(
    read: (String) throws(InputError) -> SampleSet
  ) throws(InputError) -> SampleSet {
    var samples = SampleSet(samples: [])
    for argument in sets { samples.append(try read(argument)) }
    return limit.map { samples.limited(to: $0, seed: seed) } ?? samples
  }

  private func report(
    _ refused: [RefusedSample], used: Int, isComplete: Bool = true
  ) throws(InputError) {
    for refusal in refused {
      StandardError.write(
        "warning: sample left out: \(printable("\(refusal.id): \(refusal.reason)", limit: 400))\n")
    }
    guard used > 0 || !isComplete else {
      throw InputError(sets.joined(separator: ", "), "no sample could be used")
    }
  }
}
