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
      The prompt is made up: rows of random pixels and token ids. Each round runs the full model \
      and the withdrawing profile one after the other; medians of all rounds are printed.
      """,
    version: Program.version)

  @Argument(help: ArgumentHelp("The model.", valueName: "file.vtwm"))
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

  @OptionGroup(title: "Engine") var engine: EngineOptions

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  mutating func validate() throws {
    guard images >= 0, textRows >= 2, decode >= 1, runs >= 1, warmup >= 0 else {
      throw ValidationError(
        "--images and --warmup must be 0 or more, --decode and --runs 1, --text-rows 2.")
    }
  }

  mutating func run() throws {
    let model = try VTWMFile(opening: file)
    let runtime = try Runtime(
      model, profile: schedule.choose(from: model.schedule, file: file), engine: engine)
    let prompt = try SyntheticPrompt(
      model.configuration, imageCount: model.configuration.vision == nil ? 0 : images,
      textRows: textRows)
    let layerCount = model.schedule.layerCount
    let full = ScheduleProfile(name: "full", withdrawingAt: layerCount, of: layerCount)
    var results = BenchResults(k: runtime.profile.withdrawalLayer, layerCount: layerCount)
    for round in 0..<warmup + runs {
      let first = try measure(runtime, full, prompt)
      let second = try measure(runtime, runtime.profile, prompt)
      if round >= warmup { results.add(full: first, withdrawn: second) }
    }
    StandardOutput.write(json ? results.json.text + "\n" : results.text)
  }

  private func measure(
    _ runtime: Runtime, _ profile: ScheduleProfile, _ prompt: SyntheticPrompt
  ) throws(InputError) -> StageSeconds {
    let clock = ContinuousClock()
    let session = runtime.session(profile)
    let start = clock.now
    let visual = prompt.images.isEmpty ? nil : try runtime.model.encode(prompt.images)
    let encoded = clock.now
    var logits = try session.prefill(prompt.input, visual: visual)
    let filled = clock.now
    var sampler = Sampler(SamplingOptions())
    for _ in 0..<min(decode, session.room) { logits = session.step(try sampler.next(logits)) }
    let decoded = clock.now
    return StageSeconds(
      vision: seconds(encoded - start), prefill: seconds(filled - encoded),
      firstToken: seconds(filled - start), decode: seconds(decoded - filled) / Double(decode))
  }
}

/// A prompt that needs no files: random pixels, and token ids that are not the placeholder.
private struct SyntheticPrompt {
  var input: ModelInput
  var images: [PixelTensor]

  init(_ configuration: ModelConfiguration, imageCount: Int, textRows: Int) throws(InputError) {
    var state: UInt64 = 1
    func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state >> 33
    }
    let rowsPerImage = configuration.vision?.rowsPerImage ?? 0
    let side = configuration.vision?.imageSize ?? 0
    images = (0..<imageCount).map { _ in
      PixelTensor(
        width: side, height: side,
        values: (0..<3 * side * side).map { _ in Float(next() % 1000) / 250 - 2 })
    }
    let placeholder = Int32(configuration.imageTokenID ?? -1)
    var ids: [Int32] = []
    var classes: [TokenClass] = []
    var ranges: [Range<Int>] = []
    func text(_ count: Int, _ tokenClass: TokenClass) {
      for _ in 0..<count {
        let id = Int32(next() % UInt64(configuration.text.vocabularySize))
        ids.append(id == placeholder ? 0 : id)
        classes.append(tokenClass)
      }
    }
    text(textRows / 2, .system)
    for _ in 0..<imageCount {
      ranges.append(ids.count..<ids.count + rowsPerImage)
      ids += Array(repeating: placeholder, count: rowsPerImage)
      classes += Array(repeating: .visual, count: rowsPerImage)
    }
    text(textRows - textRows / 2, .user)
    input = ModelInput(ids: ids, classes: classes, imageCount: imageCount, imageRanges: ranges)
  }
}
