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
      --k says so.
      """,
    version: Program.version)

  @Argument(help: "The checkpoint.")
  var input: String

  @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "file.vtwm"))
  var output: String

  @Option(help: "Folder of the vision tower, for original LLaVA checkpoints without one.")
  var visionTower: String?

  @Option(help: "How matrices are stored: q4, q8, bf16, f16 or f32.")
  var encoding = "q8"

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
    guard Encoding(name: encoding) != nil else {
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
    let clock = ContinuousClock()
    let start = clock.now
    let checkpoint = try Checkpoint(
      at: input, visionTower: visionTower, templateName: template, isStrict: strict,
      readTokenizer: TokenizerFiles.read)
    let layerCount = checkpoint.configuration.text.layerCount
    if let k, !(0...layerCount).contains(k) {
      throw InputError(input, "--k \(k) is outside 0...\(layerCount)")
    }
    let samples = try calibrationSamples(checkpoint)
    say(ConvertText.source(checkpoint, input: input))
    for name in checkpoint.ignoredTensors.prefix(1) {
      say(
        "warning: \(checkpoint.ignoredTensors.count) tensors are not used, such as "
          + "'\(printable(name))'\n")
    }

    let compute = try engine.compute()
    let plan = PackPlan(checkpoint.configuration, encoding: Encoding(name: encoding) ?? .q8)
    let writer = try VTWMWriter(
      path: output, contents: try contents(checkpoint), encodings: plan.encodings,
      sourceTypes: checkpoint.tensors.mapValues { $0.type.rawValue }, overwrite: force,
      inputs: checkpoint.inputs.map(\.path))
    InterruptCleanup.removeOnSignal(writer.pendingPath)
    let packing = ProgressLine("packing", isQuiet: quiet)
    try Packer(checkpoint, plan: plan, compute: compute).write(to: writer) { packing.update($0) }
    packing.finish()
    let packed = clock.now

    var report: CalibrationReport?
    if let samples {
      report = try calibrate(
        samples, checkpoint: checkpoint, tensors: writer.mapTensors(), plan: plan,
        compute: compute)
    }
    let calibrated = clock.now

    let schedule = self.schedule(report, text: checkpoint.configuration.text)
    try writer.seal(
      schedule: schedule, layerKL: layerKL(report, layerCount: layerCount),
      calibration: report?.json, provenance: provenance(checkpoint),
      keyValuePrecision: plan.keyValuePrecision)
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

  private var holdoutShare: Double { holdout ?? criterion.holdout }

  private func say(_ text: String) {
    if !quiet { StandardError.write(text) }
  }

  /// The samples of all sets, apart for choosing and for checking; nil without `--calib`.
  private func calibrationSamples(
    _ checkpoint: Checkpoint
  ) throws(InputError) -> CalibrationSamples? {
    guard !calib.isEmpty else { return nil }
    guard checkpoint.configuration.vision != nil else {
      throw InputError(input, "is a text-only model; --calib needs one that sees images")
    }
    var all = SampleSet(samples: [])
    for argument in calib { all.append(try SampleSet(argument: argument, isRaw: raw)) }
    if let calibLimit { all = all.limited(to: calibLimit, seed: seed) }
    let (judged, warnings) = all.mergingSmallTasks(below: minTask)
    for warning in warnings { say("warning: \(warning)\n") }
    let mostTasks = CalibrationReport.mostTasks(
      layerCount: checkpoint.configuration.text.layerCount)
    guard judged.tasks.count <= mostTasks else {
      throw InputError(
        calib.joined(separator: ", "),
        "\(judged.tasks.count) tasks, but a file of this model keeps the curves of \(mostTasks); "
          + "raise --min-task, so that small tasks are judged together")
    }
    let parts = judged.split(holdout: holdoutShare, seed: seed)
    return CalibrationSamples(
      choose: parts.calibration, check: parts.heldout, warnings: warnings)
  }

  private func calibrate(
    _ samples: CalibrationSamples, checkpoint: Checkpoint,
    tensors: TensorTable, plan: PackPlan, compute: Compute
  ) throws(InputError) -> CalibrationReport {
    let tokenizer = try Tokenizer(checkpoint.tokenizer)
    var options = CalibrationOptions()
    options.answerTokens = calibTokens
    options.batchBytes = maxMemory << 20
    let calibrator = Calibrator(
      model: try Model(checkpoint.configuration, tensors, compute), tokenizer: tokenizer,
      encoder: PromptEncoder(
        tokenizer: tokenizer, template: checkpoint.template,
        imageTokenID: checkpoint.configuration.imageTokenID.map(Int32.init),
        rowsPerImage: checkpoint.configuration.vision?.rowsPerImage ?? 0),
      imageSteps: checkpoint.imageSteps, precision: plan.keyValuePrecision.kernel, options: options)

    let progress = ProgressLine("calibrating", isQuiet: quiet)
    let total = Double(max(1, samples.choose.samples.count + samples.check.samples.count))
    let chooseShare = Double(samples.choose.samples.count) / total
    let chosen = calibrator.run(samples.choose.samples) { progress.update($0 * chooseShare) }
    let checked = calibrator.run(samples.check.samples) {
      progress.update(chooseShare + $0 * (1 - chooseShare))
    }
    progress.finish()

    var refused = (samples.choose.refused + chosen.refused + checked.refused).map {
      "\($0.id): \($0.reason)"
    }
    refused.sort()
    for line in refused { say("warning: sample left out: \(printable(line, limit: 400))\n") }
    let layerCount = checkpoint.configuration.text.layerCount
    guard !chosen.divergences.isEmpty else {
      throw InputError(calib.joined(separator: ", "), "no sample could be used for calibration")
    }
    let costs = WithdrawalCosts(
      checkpoint.configuration,
      keyValueRowBytes: 2 * checkpoint.configuration.text.keyValueWidth
        * plan.keyValuePrecision.byteCount,
      textRows: ConvertResult.textRows)
    let criterion = criterion.criterion(costs)
    func curves(_ divergences: [SampleDivergence]) -> CalibrationCurves {
      CalibrationCurves(
        divergences, layerCount: layerCount, percentile: criterion.percentile ?? 95)
    }
    return CalibrationReport(
      criterion: criterion,
      setup: CalibrationReport.Setup(
        answerTokens: calibTokens, seed: seed, holdout: holdoutShare),
      costs: costs, curves: curves(chosen.divergences),
      holdout: checked.divergences.isEmpty ? nil : curves(checked.divergences),
      setWarnings: samples.warnings, refused: refused)
  }

  /// The profile by hand or by calibration, and the thresholds that a user may choose at run time.
  private func schedule(_ report: CalibrationReport?, text: TextConfiguration) -> TokenSchedule {
    let layerCount = text.layerCount
    let chosen = k ?? report?.k ?? layerCount
    return TokenSchedule(
      layerCount: layerCount,
      profiles: [ScheduleProfile(withdrawingAt: chosen, of: layerCount)],
      candidates: report?.candidates ?? [])
  }

  private func layerKL(_ report: CalibrationReport?, layerCount: Int) -> [Float?] {
    (0..<layerCount).map { layer in report.map { Float($0.curves.pooled.points[layer].meanKL) } }
  }

  private func provenance(_ checkpoint: Checkpoint) -> JSONValue {
    [
      "converter": .string("vtwconvert \(Program.version)"),
      "inputs": .array(
        checkpoint.inputs.map { ["name": .string($0.name), "bytes": .integer($0.byteCount)] }),
      "options": ["encoding": .string(encoding), "k": k.map(JSONValue.integer) ?? .null],
    ]
  }
}
