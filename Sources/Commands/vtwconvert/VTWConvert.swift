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
      The input is a Hugging Face folder, a .safetensors file with its siblings, a \
      model.safetensors.index.json, or a .gguf file with its mmproj beside it. With --calib the \
      decoder layer K after which visual rows can leave is measured on a set of images and \
      questions; without it they never leave, unless --k says so.
      """,
    version: Program.version)

  @Argument(help: "The checkpoint.")
  var input: String

  @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "file.vtwm"))
  var output: String

  @Option(help: "Folder of the vision tower, for original LLaVA checkpoints without one.")
  var visionTower: String?

  @Option(
    help: ArgumentHelp(
      "Vision tower and projector of a GGUF model, or none (default: mmproj beside it).",
      valueName: "file"))
  var mmproj: String?

  @Option(
    help: """
      How matrices are stored: q8, bf16, f16, f32, or q4, which keeps embedding, head, vision tower \
      and projector in q8.
      """)
  var encoding = "q8"

  @Option(
    help: ArgumentHelp(
      """
      Another encoding for the matrices whose names, as vtwinfo --tensors prints them, match a \
      pattern (*, ?, [...]); repeat, later ones win.
      """, valueName: "pattern=type"))
  var encodingFor: [String] = []

  @Flag(help: "Weight the errors of weights by what the --calib sets feed each matrix.")
  var importance = false

  @Option(help: "Chat template by name, if the checkpoint's own is not recognised.")
  var template: String?

  @Option(help: ArgumentHelp("A calibration set; repeat for several.", valueName: "[name=]path"))
  var calib: [String] = []

  @Option(help: "Set the withdrawal layer by hand.")
  var k: Int?

  @Option(help: "Largest mean KL in nats (default: 0.01; preset paper: 0.003).")
  var eta: Double?

  @Option(help: "Criterion: default (every task, several answer tokens) or paper (published rule).")
  var preset = "default"

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
    for rule in encodingFor where EncodingRule(rule) == nil {
      throw ValidationError(
        "--encoding-for '\(printable(rule))' must be PATTERN=TYPE with TYPE q4, q8, bf16, f16 or f32."
      )
    }
    guard !importance || !calib.isEmpty else {
      throw ValidationError("--importance measures a --calib set; name one.")
    }
    guard ["default", "paper"].contains(preset) else {
      throw ValidationError("--preset must be default or paper.")
    }
    if let eta, !(eta > 0 && eta.isFinite) { throw ValidationError("--eta must be above 0.") }
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
      at: input, visionTower: visionTower, projector: mmproj, templateName: template,
      isStrict: strict)
    let layerCount = checkpoint.configuration.text.layerCount
    if k != nil, checkpoint.configuration.vision == nil {
      throw InputError(input, "is a text-only model; --k needs one that sees images")
    }
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
    let plan = try PackPlan(
      checkpoint.configuration, encoding: Encoding(name: encoding) ?? .q8,
      rules: encodingFor.compactMap(EncodingRule.init))
    var columnWeights: [TensorKey: [Float]] = [:]
    if let samples, importance {
      columnWeights = try measureImportance(
        on: samples.choose.samples, checkpoint: checkpoint, compute: compute)
    }
    let measured = clock.now

    let writer = try self.writer(checkpoint, plan)
    let packing = ProgressLine("packing", isQuiet: quiet)
    let errors = try Packer(checkpoint, plan: plan, importance: columnWeights, compute: compute)
      .write(to: writer) { packing.update($0) }
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
      calibration: report?.json,
      provenance: provenance(checkpoint, errors: errors),
      keyValuePrecision: plan.keyValuePrecision)
    let result = ConvertResult(
      output: output, byteCount: writer.byteCount, schedule: schedule, report: report,
      types: TypeChanges(of: checkpoint.tensors, in: plan), errors: errors,
      configuration: checkpoint.configuration,
      seconds: [
        ("importance", seconds(measured - start)), ("pack", seconds(packed - measured)),
        ("calibrate", seconds(calibrated - packed)),
        ("seal", seconds(clock.now - calibrated)), ("total", seconds(clock.now - start)),
      ])
    say(result.text)
    if json { StandardOutput.write(result.json.text + "\n") }
  }

  /// What the file says besides weights, with test vectors for its tokenizer.
  private func contents(_ checkpoint: Checkpoint) throws(InputError) -> VTWMContents {
    var tokenizer = checkpoint.tokenizer
    do {
      tokenizer.tests = try TokenizerVectors.make(tokenizer)
    } catch {
      throw InputError(input, error.problem)
    }
    return VTWMContents(
      configuration: checkpoint.configuration, imageSteps: checkpoint.imageSteps,
      tokenizer: tokenizer, template: checkpoint.template)
  }

  /// Starts the output, or a temporary file that is never sealed.
  func writer(_ checkpoint: Checkpoint, _ plan: PackPlan) throws(InputError) -> VTWMWriter {
    let writer = try VTWMWriter(
      path: output, contents: try contents(checkpoint), encodings: plan.encodings,
      sourceTypes: checkpoint.tensors.mapValues { $0.format.name }, overwrite: force,
      inputs: checkpoint.inputs.map(\.path))
    InterruptCleanup.removeOnSignal(writer.pendingPath)
    return writer
  }

  private func say(_ text: String) {
    if !quiet { StandardError.write(text) }
  }

  private var criterion: Criterion {
    var criterion = preset == "paper" ? Criterion.paper : Criterion.sustained
    if let eta { criterion.eta = eta }
    return criterion
  }

  /// The samples of all sets, apart for choosing and for checking; nil without `--calib`.
  private func calibrationSamples(
    _ checkpoint: Checkpoint
  ) throws(InputError) -> (choose: SampleSet, check: SampleSet)? {
    guard !calib.isEmpty else { return nil }
    guard checkpoint.configuration.vision != nil else {
      throw InputError(input, "is a text-only model; --calib needs one that sees images")
    }
    var all = SampleSet(samples: [])
    for argument in calib { all.append(try SampleSet(argument: argument, isRaw: raw)) }
    if let calibLimit { all = all.limited(to: calibLimit, seed: seed) }
    let (judged, warnings) = all.mergingSmallTasks(below: minTask)
    for warning in warnings { say("warning: \(warning)\n") }
    let parts = judged.split(holdout: holdout ?? (preset == "paper" ? 0 : 0.25), seed: seed)
    return (parts.calibration, parts.heldout)
  }

  /// What runs samples through packed weights.
  func calibrator(
    _ checkpoint: Checkpoint, tensors: TensorTable, precision: KeyValueRows.Precision,
    compute: Compute
  ) throws(InputError) -> Calibrator {
    let tokenizer = try Tokenizer(checkpoint.tokenizer)
    var options = CalibrationOptions()
    options.answerTokens = calibTokens
    options.batchBytes = maxMemory << 20
    return Calibrator(
      model: try Model(checkpoint.configuration, tensors, compute), tokenizer: tokenizer,
      encoder: PromptEncoder(
        tokenizer: tokenizer, template: checkpoint.template,
        imageTokenID: checkpoint.configuration.imageTokenID.map(Int32.init),
        rowsPerImage: checkpoint.configuration.vision?.rowsPerImage ?? 0),
      imageSteps: checkpoint.imageSteps, precision: precision, options: options)
  }

  private func calibrate(
    _ samples: (choose: SampleSet, check: SampleSet), checkpoint: Checkpoint,
    tensors: TensorTable, plan: PackPlan, compute: Compute
  ) throws(InputError) -> CalibrationReport {
    let calibrator = try calibrator(
      checkpoint, tensors: tensors, precision: plan.keyValuePrecision.kernel, compute: compute)
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
    return CalibrationReport(
      criterion: criterion, answerTokens: calibTokens, seed: seed,
      curves: CalibrationCurves(chosen.divergences, layerCount: layerCount),
      holdout: checked.divergences.isEmpty
        ? nil : CalibrationCurves(checked.divergences, layerCount: layerCount),
      refused: refused)
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

  private func provenance(_ checkpoint: Checkpoint, errors: PackErrors) -> JSONValue {
    [
      "converter": .string("vtwconvert \(Program.version)"),
      "inputs": .array(
        checkpoint.inputs.map { ["name": .string($0.name), "bytes": .integer($0.byteCount)] }),
      "options": [
        "encoding": .string(encoding), "encoding_for": .array(encodingFor.map(JSONValue.string)),
        "importance": .bool(importance), "k": k.map(JSONValue.integer) ?? .null,
      ],
      "errors": errors.json,
    ]
  }
}
