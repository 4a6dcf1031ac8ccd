import Architecture
import ArgumentParser
import CommandSupport
import Inference
import Kernels
import Prompting
import RuntimeSupport
import TensorCore
import VTWMFile

@main
struct Entry {
  static func main() { Program.run(VTWBench.self) }
}

struct VTWBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vtwbench",
    abstract: "Time a model with and without withdrawal, interleaved in one run.",
    discussion: """
      The prompt is made up: rows of random pixels and token ids. Each round measures what the \
      processor can do at most (arithmetic on registers alone, plain reading), the decoder's \
      matrix products on the file's weights, the full model and the withdrawing profile, one \
      after the other; medians of all rounds are printed.
      """,
    version: Program.version)

  @Argument(help: ArgumentHelp("The model.", valueName: "file.vtwm"), transform: nonemptyPath)
  var file: String

  @OptionGroup(title: "Schedule") var schedule: ScheduleOptions

  @Option(help: "Images in the prompt.")
  var images = 1

  @Option(help: "Text rows in the prompt.")
  var textRows = 64

  @Option(help: "Tokens to decode per round.")
  var decode = 16

  @Option(help: "Rounds that are timed.")
  var runs = 5

  @Option(help: "Rounds before them that are not.")
  var warmup = 1

  @Flag(help: "Time every withdrawal layer as well.")
  var sweep = false

  @Option(
    name: .customLong("also"), parsing: .upToNextOption,
    help: ArgumentHelp(
      "Time these in turn as well: schedules such as 11, 4-22, layers=0,2,3, or profiles of the file.",
      valueName: "schedules"))
  var others: [String] = []

  @Option(help: "Time every n-th withdrawal layer only.")
  var step = 1

  @Option(help: ArgumentHelp("Draw the sweep.", valueName: "file.svg"), transform: nonemptyPath)
  var svg: String?

  @Flag(
    help: """
      Run one round for every line of standard input and answer with a line of JSON, so that \
      another program can take turns; stages only.
      """)
  var paced = false

  @OptionGroup(title: "Engine") var engine: EngineOptions
  @OptionGroup(title: "Engine") var cache: CacheOptions

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  mutating func validate() throws {
    guard images >= 0, textRows >= 2, decode >= 1, runs >= 1, warmup >= 0, step >= 1 else {
      throw ValidationError(
        "--images and --warmup must be 0 or more, --decode, --runs and --step 1, --text-rows 2.")
    }
    if svg != nil, !sweep { throw ValidationError("--svg draws what --sweep measures.") }
    if !others.isEmpty, sweep || paced {
      throw ValidationError("--also, --sweep and --paced exclude each other.")
    }
    if paced, sweep { throw ValidationError("--paced and --sweep exclude each other.") }
  }

  mutating func run() throws {
    // A path that cannot be written shall not cost a sweep.
    if let svg { try OutputFile.check(svg, inputs: [file]) }
    let start = ContinuousClock.now
    let model = try VTWMFile(opening: file)
    let runtime = try Runtime(
      model, profile: schedule.choose(from: model.schedule, file: file), engine: engine,
      precision: cache.precision)
    let loaded = seconds(ContinuousClock.now - start)
    let prompt = try SyntheticPrompt(
      model.configuration, imageCount: model.configuration.vision == nil ? 0 : images,
      textRows: textRows)
    if paced {
      try answerLines(runtime, prompt, loaded: loaded)
      return
    }
    var results = try compare(runtime, prompt)
    if sweep || !others.isEmpty {
      let layerCount = model.schedule.layerCount
      let layers = Array(stride(from: 0, to: layerCount, by: step)) + [layerCount]
      var profiles = sweep ? layers.map(runtime.withdrawing) : [runtime.neverWithdrawing]
      for name in others {
        if let known = model.schedule.profiles.first(where: { $0.name == name }) {
          profiles.append(known)
        } else {
          profiles.append(try ScheduleProfile(schedule: name, of: layerCount, file: file))
        }
      }
      results.sweep = try Sweep(
        runtime, prompt, profiles, tokens: decode, runs: runs, warmup: warmup)
    }
    StandardOutput.write(json ? results.json.text + "\n" : results.text)
    if let svg, let sweep = results.sweep {
      let chart = SweepChart(sweep, work: results.work, file: file).text
      try OutputFile.write([Array(chart.utf8)], to: svg)
    }
  }

  /// Ceilings, products and both sides, in turn.
  private func compare(
    _ runtime: Runtime, _ prompt: SyntheticPrompt
  ) throws(InputError) -> BenchResults {
    let full = try StageTimer(runtime, runtime.neverWithdrawing, prompt, tokens: decode)
    let withdrawn = try StageTimer(runtime, runtime.profile, prompt, tokens: decode)
    let meter = try ProductMeter(runtime.model, runtime.file.tensors)
    let compute = runtime.model.compute
    var results = BenchResults(work: work(runtime, prompt, meter))
    for round in 0..<warmup + runs {
      var ceilings = results.ceilings
      for unit in ArithmeticUnit.allCases {
        if let rate = compute.operationsPerSecond(of: unit) {
          ceilings.units[unit, default: Samples()].add(rate)
        }
      }
      ceilings.many.add(meter.operationsPerSecond(rows: ProductMeter.manyRows, from: round))
      ceilings.few.add(meter.operationsPerSecond(rows: ProductMeter.fewRows, from: round))
      ceilings.stream.add(meter.streamBytesPerSecond())
      ceilings.single.add(meter.bytesPerSecond())
      let first = try full.round()
      let second = try withdrawn.round()
      if round >= warmup {
        results.ceilings = ceilings
        results.full.add(first)
        results.withdrawn.add(second)
      }
    }
    results.work.fullCacheBytes = full.cacheBytes
    results.work.withdrawnCacheBytes = withdrawn.cacheBytes
    return results
  }

  private func work(
    _ runtime: Runtime, _ prompt: SyntheticPrompt, _ meter: ProductMeter
  ) -> BenchWork {
    let model = runtime.model
    func cost(_ profile: ScheduleProfile) -> ScheduleCost {
      ScheduleCost(
        profile, text: model.configuration.text, textRows: prompt.textRows,
        visualRows: prompt.visualRows)
    }
    return BenchWork(
      k: runtime.profile.withdrawalLayer, layerCount: model.configuration.text.layerCount,
      encoding: meter.encoding, unit: meter.unit, visionUnit: meter.visionUnit,
      threads: model.compute.threads, instructionSet: model.compute.instructionSet.rawValue,
      precision: runtime.precision.rawValue,
      textRows: prompt.textRows, visualRows: prompt.visualRows,
      visionOperations: model.configuration.visionOperations
        * Double(prompt.images.reduce(0) { $0 + $1.tiles.count }),
      weightBytes: meter.weightBytes, fullCost: cost(runtime.neverWithdrawing),
      withdrawnCost: cost(runtime.profile))
  }

  /// Rounds at the pace of standard input.
  private func answerLines(
    _ runtime: Runtime, _ prompt: SyntheticPrompt, loaded: Double
  ) throws(InputError) {
    let full = try StageTimer(runtime, runtime.neverWithdrawing, prompt, tokens: decode)
    let withdrawn =
      runtime.profile.segments == runtime.neverWithdrawing.segments
      ? nil : try StageTimer(runtime, runtime.profile, prompt, tokens: decode)
    while readLine() != nil {
      var answer = JSONObject([("load", .number(rounded(loaded)))])
      answer["full"] = try full.round().json
      if let withdrawn { answer["withdrawn"] = try withdrawn.round().json }
      StandardOutput.write(JSONValue.object(answer).text + "\n")
    }
  }
}

extension Runtime {
  /// The profile that keeps visual rows in all layers.
  var neverWithdrawing: ScheduleProfile {
    let layerCount = model.configuration.text.layerCount
    return ScheduleProfile(name: "full", withdrawingAt: layerCount, of: layerCount)
  }

  /// The profile that withdraws at layer `k`.
  func withdrawing(at k: Int) -> ScheduleProfile {
    ScheduleProfile(name: "\(k)", withdrawingAt: k, of: model.configuration.text.layerCount)
  }
}
