import Architecture
import ArgumentParser
import Calibration
import Checkpoints
import CommandSupport
import Glibc
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
      The input is a model of LLaVA-1.5, LLaVA-NeXT or LLaVA-OneVision: a Hugging Face folder, a \
      .safetensors file with its siblings, a model.safetensors.index.json, or a .gguf file with its \
      mmproj beside it (not OneVision). With --calib the \
      decoder layer K after which visual rows can leave is measured on a set of images and \
      questions; without it they never leave, unless --k says so. Each task of the set becomes a \
      profile beside 'default', which serves them all.

      The input may also be a .vtwm file: then its weights are taken over as they are, and only \
      the calibration (--calib) or the default layer (--k) is new.
      """,
    version: Program.version)

  @Argument(help: "The checkpoint, or a .vtwm file.", transform: nonemptyPath)
  var input: String

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("The file to write (not with --shard).", valueName: "file.vtwm"),
    transform: nonemptyPath)
  var outputPath: String?

  @Option(
    help: "Folder of the vision tower, for original LLaVA checkpoints without one.",
    transform: nonemptyPath
  )
  var visionTower: String?

  @Option(
    help: ArgumentHelp(
      "Vision tower and projector of a GGUF model, or none (default: mmproj beside it).",
      valueName: "file"), transform: nonemptyPath)
  var mmproj: String?

  @Option(
    help: """
      How matrices are stored: q4, q4a, q5a, q6, q8, bf16, f16 or f32; q4 and q4a keep embedding, \
      head, vision tower and projector in q8 (default: q8, but quantised matrices of a GGUF file \
      keep their precision).
      """)
  var encoding: String?

  @Option(
    help: ArgumentHelp(
      """
      Another encoding for the matrices whose names, as vtwinfo --tensors prints them, match a \
      pattern (*, ?, [...]); repeat, later ones win.
      """, valueName: "pattern=type"))
  var encodingFor: [String] = []

  @Flag(
    inversion: .prefixedNo,
    help: """
      Weight the errors of weights by what the --calib sets feed each matrix (default: if weights \
      become q4, but not for --shard and --merge).
      """)
  var importance: Bool?

  @Option(help: "Chat template by name, if the checkpoint's own is not recognised.")
  var template: String?

  @Option(
    help: ArgumentHelp(
      """
      A calibration set; repeat for several. A text-only model takes .txt files of a text per \
      line, for --importance.
      """, valueName: "[name=]path"), transform: nonemptyPath)
  var calib: [String] = []

  @Option(help: "Set the withdrawal layer by hand.")
  var k: Int?

  @OptionGroup(title: "Criterion") var criterion: CriterionOptions

  @OptionGroup(title: "Schedule") var search: SearchOptions

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

  @Flag(
    help: """
      Compare the packed weights with the source's on the same samples too: a pass more, with a \
      layer, or the vision tower, of the source in memory beside --max-memory.
      """)
  var compareSource = false

  @Flag(help: "The prompts of the set are complete texts with <image> marks.")
  var raw = false

  @Option(
    help: """
      Most memory for calibration beside the mapped weights, in MiB (default: 1024, or what one \
      sample needs).
      """)
  var maxMemory: Int?

  @Option(
    name: .customLong("report"),
    help: ArgumentHelp(
      "Show the calibration as a page for a browser, with the samples whose answers change most.",
      valueName: "file.html"), transform: nonemptyPath)
  var reportPath: String?

  @OptionGroup(title: "Statistics") var statistics: StatisticsOptions

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
      throw ValidationError("--encoding must be \(Self.encodingNames).")
    }
    for rule in encodingFor where EncodingRule(rule) == nil {
      throw ValidationError(
        "--encoding-for '\(printable(rule))' must be PATTERN=TYPE with TYPE \(Self.encodingNames).")
    }
    guard importance != true || !calib.isEmpty else {
      throw ValidationError("--importance measures a --calib set; name one.")
    }
    guard !compareSource || !calib.isEmpty else {
      throw ValidationError("--compare-source measures a --calib set; name one.")
    }
    guard (1...4096).contains(calibTokens) else {
      throw ValidationError("--calib-tokens must be in 1...4096.")
    }
    if let calibLimit, calibLimit < 1 { throw ValidationError("--calib-limit must be at least 1.") }
    guard minTask >= 1 else { throw ValidationError("--min-task must be at least 1.") }
    if let holdout, !(0..<1).contains(holdout) {
      throw ValidationError("--holdout must be in 0..<1.")
    }
    if let maxMemory, !(16...1 << 24).contains(maxMemory) {
      throw ValidationError("--max-memory must be at least 16 (MiB).")
    }
    guard (outputPath == nil) == (statistics.shard != nil) else {
      throw ValidationError(
        statistics.shard == nil
          ? "Missing expected argument '--output <file.vtwm>'"
          : "--shard writes --stats, no model; leave --output out.")
    }
    guard statistics.merge.isEmpty || calib.isEmpty else {
      throw ValidationError("--merge measures nothing; leave --calib out.")
    }
    guard reportPath == nil || (statistics.shard == nil && !(calib + statistics.merge).isEmpty)
    else {
      throw ValidationError(
        "--report shows a new calibration: it needs --calib or --merge, and no --shard. What a "
          + ".vtwm file holds, vtwinfo --report shows.")
    }
    guard !calib.isEmpty || statistics.stats == nil else {
      throw ValidationError("--stats and --shard are for --calib; name a set.")
    }
    let isShared = statistics.shard != nil || !statistics.merge.isEmpty
    switch search.method {
    case .withdraw: break
    case .given where calib.isEmpty && !isShared: break
    case .freeze, .auto, .greedy, .given:
      let schedule = printable(search.schedule)
      guard !calib.isEmpty || isShared else {
        throw ValidationError("--schedule \(schedule) measures a --calib set; name one.")
      }
      guard !isShared || search.isMeasuredAtOnce else {
        throw ValidationError(
          "--schedule \(schedule) measures the set step by step, as a whole: --merge the shards "
            + "without it, then vtwconvert FILE.vtwm --calib SET --schedule \(schedule)"
            + (search.method == .auto
              ? "; or give --exhaustive to every --shard and to --merge." : "."))
      }
    }
    if criterion.flops != nil {
      guard search.method != .greedy, search.method != .auto || search.exhaustive else {
        throw ValidationError(
          "--flops takes the best of the schedules within a budget; --schedule auto then needs "
            + "--exhaustive, and greedy knows no budget.")
      }
    }
  }

  mutating func run() throws {
    if PackedInput.isOne(input) { return try recalibrate() }
    let clock = ContinuousClock()
    let start = clock.now
    let checkpoint = try Checkpoint(
      at: input, visionTower: visionTower, projector: mmproj, templateName: template,
      isStrict: strict)
    try checkLayer(of: checkpoint.configuration)
    _ = try givenProfile(checkpoint.configuration)
    let samples = try calibrationSamples(checkpoint.configuration)
    let texts = try calibrationTexts(checkpoint.configuration)
    say(ConvertText.source(checkpoint, input: input))
    for name in checkpoint.ignoredTensors.prefix(1) {
      say(
        "warning: \(checkpoint.ignoredTensors.count) tensors are not used, such as "
          + "'\(printable(name))'\n")
    }

    let compute = try engine.compute()
    let merged = try mergedStatistics()
    try checkStatistics(inputs: checkpoint.inputs.map(\.path))
    try checkReport(inputs: checkpoint.inputs.map(\.path))
    let plan = try plan(checkpoint)
    var columnWeights: [TensorKey: [Float]] = [:]
    let isWeighted = weightsErrors(checkpoint, plan)
    if isWeighted, let fed = samples?.choose ?? texts {
      columnWeights = try measureImportance(
        on: fed.samples, checkpoint: checkpoint, compute: compute)
    }
    let weighted = clock.now

    let contents = try contents(checkpoint)
    let writer = try self.writer(
      checkpoint, plan, contents, tasks: samples?.tasks ?? merged?.tasks ?? [],
      keeping: statistics.shard == nil
        ? VTWMWriter.Keeping(
          source: partialSource(checkpoint, columnWeights), resumes: statistics.resume) : nil)
    if !writer.finished.isEmpty {
      say(
        "going on with \(printable(writer.partialPath ?? output)): \(writer.finished.count) of "
          + "\(writer.order.count) tensors are packed\n")
    }
    let packing = ProgressLine("packing", isQuiet: quiet)
    let errors = try Packer(checkpoint, plan: plan, importance: columnWeights, compute: compute)
      .write(to: writer) { packing.update($0, isStart: $1) }
    packing.finish()
    let packed = clock.now

    let subject = CalibrationSubject(
      contents: contents, tensors: try writer.mapTensors(), precision: plan.keyValuePrecision,
      modelID: writer.modelID(plan.keyValuePrecision),
      types: CalibrationSubject.types(of: checkpoint, in: plan),
      source: try sourceModel(checkpoint, compute: compute))
    let report: CalibrationReport?
    let measured: CalibrationStatistics?
    do {
      (report, measured) = try calibrate(samples, merged: merged, subject, compute: compute)
    } catch let code as ExitCode {
      // What was measured is kept, and so are the weights that it was measured on.
      writer.keep()
      throw code
    }
    if statistics.shard != nil { return }
    let calibrated = clock.now

    let schedule = try self.schedule(report, checkpoint.configuration)
    try writer.seal(
      schedule: schedule, layerKL: report?.layerKL ?? [], calibration: report?.json,
      provenance: provenance(checkpoint, isWeighted: isWeighted, errors: errors),
      keyValuePrecision: plan.keyValuePrecision)
    removeLeftStatistics()
    let sealed = clock.now
    if let measured { try writeReport(measured, samples, compute: compute) }
    let result = ConvertResult(
      output: output, byteCount: writer.byteCount, schedule: schedule, report: report,
      types: TypeChanges(of: checkpoint.tensors, in: plan), errors: errors,
      configuration: checkpoint.configuration,
      seconds: [
        ("importance", seconds(weighted - start)), ("pack", seconds(packed - weighted)),
        ("calibrate", seconds(calibrated - packed)),
        ("seal", seconds(sealed - calibrated)), ("report", seconds(clock.now - sealed)),
        ("total", seconds(clock.now - start)),
      ], reportPath: reportPath)
    say(result.text)
    if json { StandardOutput.write(result.json.text + "\n") }
  }

  /// What the file says besides weights, with test vectors for its tokenizer.
  func contents(_ checkpoint: Checkpoint) throws(InputError) -> VTWMContents {
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
  ///
  /// - Parameters:
  ///   - tasks: each will have a profile.
  ///   - keeping: what lets another run go on, if one may.
  func writer(
    _ checkpoint: Checkpoint, _ plan: PackPlan, _ contents: VTWMContents, tasks: [String],
    keeping: VTWMWriter.Keeping? = nil
  ) throws(InputError) -> VTWMWriter {
    let writer = try VTWMWriter(
      path: output, contents: contents, encodings: plan.encodings,
      sourceTypes: checkpoint.tensors.mapValues { $0.format.name }, overwrite: force,
      inputs: checkpoint.inputs.map(\.path),
      room: VTWMWriter.FrontRoom(
        profileNames: tasks + scheduleNames(checkpoint.configuration, tasks: tasks)),
      keeping: keeping)
    InterruptCleanup.removeOnSignal(writer.pendingPath)
    InterruptCleanup.sayOnSignal(
      writer.partialPath.map {
        "interrupted: what is packed is kept in \(printable($0)); the same command with --resume "
          + "goes on\n"
      })
    return writer
  }

  /// What the weights of a partial file are made of: the same files and column weights, so that
  /// another run may go on with it.
  private func partialSource(
    _ checkpoint: Checkpoint, _ columnWeights: [TensorKey: [Float]]
  ) -> JSONValue {
    var weights = CRC32()
    for (key, values) in columnWeights.sorted(by: { $0.key.description < $1.key.description }) {
      weights.update(Array(key.description.utf8))
      unsafe values.withUnsafeBytes { unsafe weights.update($0) }
    }
    return [
      "converter": .string(Program.version),
      "inputs": .array(
        checkpoint.inputs.map { input in
          var status = stat()
          let isThere = unsafe stat(input.path, &status) == 0
          let changed = isThere ? "\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)" : "?"
          return [
            "name": .string(input.name), "bytes": .integer(input.byteCount),
            "changed": .string(changed),
          ]
        }),
      "importance": .integer(Int(weights.value)),
    ]
  }

  private static let encodingNames = {
    let names = Encoding.allCases.map(\.name)
    return names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
  }()

  /// Which encoding each tensor gets.
  private func plan(_ checkpoint: Checkpoint) throws(InputError) -> PackPlan {
    let configuration = checkpoint.configuration
    let plan =
      encoding.flatMap { Encoding(name: $0) }.map { PackPlan(configuration, encoding: $0) }
      ?? PackPlan(configuration, keeping: checkpoint.tensors)
    return try plan.changed(by: encodingFor.compactMap(EncodingRule.init), configuration)
  }

  /// The profiles beside the default one and those that withdraw for tasks.
  func scheduleNames(_ configuration: ModelConfiguration, tasks: [String]) -> [String] {
    (search.profileName(layerCount: configuration.text.layerCount).map { [$0] } ?? [])
      + search.ownNames(tasks)
  }

  /// The file to write; a shard's weights lie in a temporary one beside its statistics.
  var output: String { outputPath ?? (statistics.stats ?? "") + ".vtwm" }

  /// Refuses a `--k` that the model does not have.
  func checkLayer(of configuration: ModelConfiguration) throws(InputError) {
    let layerCount = configuration.text.layerCount
    if k != nil, configuration.vision == nil {
      throw InputError(input, "is a text-only model; --k needs one that sees images")
    }
    if let k, !(0...layerCount).contains(k) {
      throw InputError(input, "--k \(k) is outside 0...\(layerCount)")
    }
  }

  func say(_ text: String) {
    if !quiet { StandardError.write(text) }
  }

  private func provenance(
    _ checkpoint: Checkpoint, isWeighted: Bool, errors: PackErrors
  ) -> JSONValue {
    [
      "converter": .string("vtwconvert \(Program.version)"),
      "inputs": .array(
        checkpoint.inputs.map { ["name": .string($0.name), "bytes": .integer($0.byteCount)] }),
      "options": [
        "encoding": encoding.map(JSONValue.string) ?? .null,
        "encoding_for": .array(encodingFor.map(JSONValue.string)),
        "importance": .bool(isWeighted), "k": k.map(JSONValue.integer) ?? .null,
      ],
      "errors": errors.json,
    ]
  }
}
