import Architecture
import ArgumentParser
import Calibration
import CommandSupport
import Inference
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
      Every question is answered greedily by the full model and by each profile. Accuracy is \
      exact match with the set's answer, agreement is an answer equal to the full model's, and KL \
      is that of the calibration, over the answer positions. With --against, nothing is withdrawn: \
      KL(this file || the reference) tells what packing cost, over the answers' tokens, or over every \
      token of a .txt file, whose lines are texts; --kv is then for this file alone.
      """,
    version: Program.version)

  @Argument(help: ArgumentHelp("The model.", valueName: "file.vtwm"))
  var file: String

  @Argument(help: ArgumentHelp("Image-and-question sets.", valueName: "[name=]path"))
  var sets: [String]

  @Option(help: "Withdraw at this layer; repeat for several (default: the file's profiles).")
  var k: [Int] = []

  @Option(
    help: ArgumentHelp(
      "Run this schedule, such as 4-22 or layers=0,2,3; repeat for several.",
      valueName: "schedule"))
  var schedule: [String] = []

  @Option(help: "Evaluate this profile of the file; repeat for several.")
  var profile: [String] = []

  @Option(
    help: ArgumentHelp(
      "Compare with the same model in other weights, such as its source in f32.",
      valueName: "reference.vtwm"))
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
    let layerCount = model.schedule.layerCount
    for layer in k where !(0...layerCount).contains(layer) {
      throw InputError(file, "--k \(layer) is outside 0...\(layerCount)")
    }
    let profiles = try profiles(model)
    let samples = try samples { (argument) throws(InputError) in try SampleSet(argument: argument) }
    let progress = ProgressLine("evaluating", isQuiet: quiet)
    let evaluation = try Evaluation(
      runtime, profiles: profiles, maxTokens: maxTokens, samples: samples.samples
    ) { progress.update($0) }
    progress.finish()
    try report(samples.refused + evaluation.refused, used: evaluation.sampleCount)
    StandardOutput.write(json ? evaluation.json.text + "\n" : evaluation.table)
  }

  /// The profiles to evaluate: those that are named, or all of the file.
  private func profiles(_ model: VTWMFile) throws(InputError) -> [ScheduleProfile] {
    let layerCount = model.schedule.layerCount
    var profiles = k.map { ScheduleProfile(name: "k=\($0)", withdrawingAt: $0, of: layerCount) }
    for text in schedule {
      profiles.append(try ScheduleProfile(schedule: text, of: layerCount, file: file))
    }
    for name in profile {
      guard let match = model.schedule.profiles.first(where: { $0.name == name }) else {
        let names = model.schedule.profiles.map { printable($0.name) }.joined(separator: ", ")
        throw InputError(file, "has no profile '\(printable(name))'; it has \(names)")
      }
      profiles.append(match)
    }
    return profiles.isEmpty ? model.schedule.profiles : profiles
  }

  /// What packing cost `model`, as `reference` tells.
  private func compare(_ model: VTWMFile, with reference: VTWMFile) throws {
    guard model.configuration.text.vocabularySize == reference.configuration.text.vocabularySize,
      model.configuration.vision?.rowsPerImage == reference.configuration.vision?.rowsPerImage,
      model.tokenizer.pieces == reference.tokenizer.pieces
    else { throw InputError(file, "is not the same model as '\(printable(reference.path))'") }
    let samples = try samples { (argument) throws(InputError) in
      argument.hasSuffix(".txt")
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

  private func report(_ refused: [RefusedSample], used: Int) throws(InputError) {
    for refusal in refused {
      StandardError.write(
        "warning: sample left out: \(printable("\(refusal.id): \(refusal.reason)", limit: 400))\n")
    }
    guard used > 0 else {
      throw InputError(sets.joined(separator: ", "), "no sample could be used")
    }
  }
}
