import Architecture
import ArgumentParser
import Calibration
import Checkpoints
import CommandSupport
import Inference
import Kernels
import Packing
import Prompting
import RuntimeSupport
import SampleSets
import TensorCore
import VTWMFile

@main
struct Entry {
  static func main() { Program.run(VTWConvert.self) }
}

struct VTWConvert: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vtwconvert",
    abstract: "Pack a LLaVA checkpoint into one .vtwm file with its withdrawal layer.",
    discussion: """
      The input is a Hugging Face folder, a .safetensors file with its siblings, or a \
      model.safetensors.index.json. With --calib the decoder layer K after which visual rows can \
      leave is measured on a set of images and questions; without it they never leave, unless \
      --k says so. Each task of the set becomes a profile beside 'default', which serves them all.

      The input may also be a .vtwm file: then its weights are taken over as they are, and only \
      the calibration (--calib) or the default layer (--k) is new.
      """,
    version: Program.version)

  @Argument(help: "The checkpoint, or a .vtwm file.")
  var input: String

  @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "file.vtwm"))
  var output: String

  @Option(help: "Folder of the vision tower, for original LLaVA checkpoints without one.")
  var visionTower: String?

  @Option(help: "How matrices are stored: q4, q8, bf16, f16 or f32 (default: q8).")
  var encoding: String?

  @Option(help: "Chat template by name, if the checkpoint's own is not recognised.")
  var template: String?

  @Option(help: ArgumentHelp("A calibration set; repeat for several.", valueName: "[name=]path"))
  var calib: [String] = []

  @Option(help: "Set the withdrawal layer by hand.")
  var k: Int?

  @OptionGroup(title: "Criterion") var criterion: CriterionOptions

  @Option(help: "Answer positions compared per sample.")
  var calibTokens = 8

  @Option(help: "Use at most so many samples of the sets.")
  var calibLimit: Int?

  @Option(help: "Judge tasks of fewer samples together, as 'default'.")
  var minTask = SampleSet.fewestTaskSamples

  @Option(help: "Share of the samples kept apart to check the choice (preset paper: 0).")
  var holdout: Double?

  @Option(help: "Seed of the sampling.")
  var seed: UInt64 = 0

  @Flag(help: "The prompts of the set are complete texts with <image> marks.")
  var raw = false

  @Option(help: "Memory for calibration, in MiB.")
  var maxMemory = 1024

  @OptionGroup(title: "Engine") var engine: EngineOptions

  @Flag(help: "Replace the output if it is a .vtwm file.")
  var force = false

  @Flag(help: "Refuse checkpoints with tensors that the model does not use.")
  var strict = false

  @Flag(help: "Print a JSON object as the last line of the output.")
  var json = false

  @Flag(help: "Print only errors (and --json).")
  var quiet = false

  mutating func validate() throws {
    guard encoding.map({ Encoding(name: $0) != nil }) ?? true else {
      throw ValidationError("--encoding must be q4, q8, bf16, f16 or f32.")
    }
    guard (1...4096).contains(calibTokens) else {
      throw ValidationError("--calib-tokens must be in 1...4096.")
    }
    if let calibLimit, calibLimit < 1 { throw ValidationError("--calib-limit must be at least 1.") }
    guard minTask >= 1 else { throw ValidationError("--min-task must be at least 1.") }
    if let holdout, !(0..<1).contains(holdout) {
      throw ValidationError("--holdout must be in 0..<1.")
    }
    guard (16...1 << 24).contains(maxMemory) else {
      throw ValidationError("--max-memory must be at least 16 (MiB).")
    }
  }

  mutating func run() throws {
    if PackedInput.isOne(input) { return try recalibrate() }
    let clock = ContinuousClock()
    let start = clock.now
    let checkpoint = try Checkpoint(
      at: input, visionTower: visionTower, templateName: template, isStrict: strict,
      readTokenizer: TokenizerFiles.read)
    try checkLayer(of: checkpoint.configuration)
    let samples = try calibrationSamples(checkpoint.configuration)
    say(ConvertText.source(checkpoint, input: input))
    for name in checkpoint.ignoredTensors.prefix(1) {
      say(
        "warning: \(checkpoint.ignoredTensors.count) tensors are not used, such as "
          + "'\(printable(name))'\n")
    }

    let compute = try engine.compute()
    let plan = PackPlan(checkpoint.configuration, encoding: packedEncoding)
    let contents = try contents(checkpoint)
    let writer = try VTWMWriter(
      path: output, contents: contents, encodings: plan.encodings,
      sourceTypes: checkpoint.tensors.mapValues { $0.type.rawValue }, overwrite: force,
      inputs: checkpoint.inputs.map(\.path),
      room: VTWMWriter.FrontRoom(profileNames: samples?.tasks ?? []))
    InterruptCleanup.removeOnSignal(writer.pendingPath)
    let packing = ProgressLine("packing", isQuiet: quiet)
    try Packer(checkpoint, plan: plan, compute: compute).write(to: writer) { packing.update($0) }
    packing.finish()
    let packed = clock.now

    var report: CalibrationReport?
    if let samples {
      report = try calibrate(
        samples, contents, tensors: writer.mapTensors(), precision: plan.keyValuePrecision,
        compute: compute)
    }
    let calibrated = clock.now

    let schedule = self.schedule(report, layerCount: checkpoint.configuration.text.layerCount)
    try writer.seal(
      schedule: schedule, layerKL: report?.layerKL ?? [], calibration: report?.json,
      provenance: provenance(checkpoint), keyValuePrecision: plan.keyValuePrecision)
    let result = ConvertResult(
      output: output, byteCount: writer.byteCount, schedule: schedule, report: report,
      configuration: checkpoint.configuration,
      seconds: [
        ("pack", seconds(packed - start)), ("calibrate", seconds(calibrated - packed)),
        ("seal", seconds(clock.now - calibrated)), ("total", seconds(clock.now - start)),
      ])
    say(result.text)
    if json { StandardOutput.write(result.json.text + "\n") }
  }

  /// What the file says besides weights, with test vectors for its tokenizer.
  private func contents(_ checkpoint: Checkpoint) throws(InputError) -> VTWMContents {
    var tokenizer = checkpoint.tokenizer
    tokenizer.tests = try TokenizerVectors.make(tokenizer)
    return VTWMContents(
      configuration: checkpoint.configuration, imageSteps: checkpoint.imageSteps,
      tokenizer: tokenizer, template: checkpoint.template)
  }

  private var packedEncoding: Encoding { encoding.flatMap { Encoding(name: $0) } ?? .q8 }

  /// Refuses a `--k` that the model does not have.
  func checkLayer(of configuration: ModelConfiguration) throws(InputError) {
    let layerCount = configuration.text.layerCount
    if let k, !(0...layerCount).contains(k) {
      throw InputError(input, "--k \(k) is outside 0...\(layerCount)")
    }
  }

  func say(_ text: String) {
    if !quiet { StandardError.write(text) }
  }

  private func provenance(_ checkpoint: Checkpoint) -> JSONValue {
    [
      "converter": .string("vtwconvert \(Program.version)"),
      "inputs": .array(
        checkpoint.inputs.map { ["name": .string($0.name), "bytes": .integer($0.byteCount)] }),
      "options": [
        "encoding": .string(packedEncoding.name), "k": k.map(JSONValue.integer) ?? .null,
      ],
    ]
  }
}
