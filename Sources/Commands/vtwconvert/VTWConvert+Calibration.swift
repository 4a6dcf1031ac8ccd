import Architecture
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

extension VTWConvert {
  var holdoutShare: Double { holdout ?? criterion.holdout }

  /// The samples of all sets, apart for choosing and for checking; nil without `--calib`.
  func calibrationSamples(
    _ configuration: ModelConfiguration
  ) throws(InputError) -> CalibrationSamples? {
    guard !calib.isEmpty, configuration.vision != nil else { return nil }
    var all = SampleSet(samples: [])
    for argument in calib { all.append(try SampleSet(argument: argument, isRaw: raw)) }
    if let calibLimit { all = all.limited(to: calibLimit, seed: seed) }
    let (judged, warnings) = all.mergingSmallTasks(below: minTask)
    for warning in warnings { say("warning: \(warning)\n") }
    let mostTasks = CalibrationReport.mostTasks(layerCount: configuration.text.layerCount)
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

  /// What runs samples through packed weights.
  func calibrator(_ subject: CalibrationSubject, compute: Compute) throws(InputError) -> Calibrator
  {
    let contents = subject.contents
    var options = CalibrationOptions()
    options.answerTokens = calibTokens
    if let maxMemory {
      options.memoryBytes = maxMemory << 20
      options.isMemoryStrict = true
    }
    return Calibrator(
      model: try Model(contents.configuration, subject.tensors, compute),
      encoder: PromptEncoder(
        tokenizer: try Tokenizer(contents.tokenizer), template: contents.template,
        configuration: contents.configuration),
      imageSteps: contents.imageSteps, precision: subject.precision.kernel, options: options,
      source: subject.source)
  }

  /// What `--compare-source` compares with; nil without.
  func sourceModel(_ checkpoint: Checkpoint, compute: Compute) throws(InputError) -> SourceModel? {
    guard compareSource else { return nil }
    let weights = try SourceWeights(checkpoint, compute: compute)
    return SourceModel(
      try Model(checkpoint.configuration, weights.tensors, compute), enter: weights.enter)
  }

  /// Measures `samples`, or takes what `merged` holds, and chooses.
  ///
  /// - Returns: the choice, nil for a shard, and what it rests on; nil without either.
  func calibrate(
    _ samples: CalibrationSamples?, merged: CalibrationStatistics?, _ subject: CalibrationSubject,
    compute: Compute
  ) throws -> (CalibrationReport?, CalibrationStatistics?) {
    let measured: MeasuredSamples
    if let samples {
      measured = try measure(samples, subject, compute: compute)
    } else if let merged {
      measured = MeasuredSamples(statistics: merged)
    } else {
      return (nil, nil)
    }
    guard statistics.shard == nil else { return (nil, measured.statistics) }
    var report = try self.report(measured.statistics, subject)
    let (found, all) = try findSchedule(report, measured, subject, compute: compute)
    report.schedules = found
    if statistics.stats != nil, all != measured.statistics { try save(all) }
    return (report, all)
  }

  /// Chooses K by what was measured.
  func report(
    _ statistics: CalibrationStatistics, _ subject: CalibrationSubject
  ) throws(InputError) -> CalibrationReport {
    for line in statistics.refusals {
      say("warning: sample left out: \(printable(line, limit: 400))\n")
    }
    let configuration = subject.contents.configuration
    let text = configuration.text
    let sources = calib.isEmpty ? self.statistics.merge : calib
    guard statistics.setup.model == subject.modelID, statistics.setup.layerCount == text.layerCount
    else {
      throw InputError(
        sources.joined(separator: ", "), "was measured on another model than \(printable(input))")
    }
    let chosen = statistics.divergences(heldOut: false)
    guard !chosen.isEmpty else {
      throw InputError(
        sources.joined(separator: ", "), "no sample could be used for calibration")
    }
    let costs = WithdrawalCosts(
      configuration, keyValueRowBytes: 2 * text.keyValueWidth * subject.precision.byteCount,
      textRows: ConvertResult.textRows)
    let criterion = criterion.criterion(costs)
    func curves(_ divergences: [SampleDivergence]) -> CalibrationCurves {
      CalibrationCurves(
        divergences, layerCount: text.layerCount, percentile: criterion.percentile ?? 95)
    }
    let checked = statistics.divergences(heldOut: true)
    return CalibrationReport(
      criterion: criterion,
      setup: CalibrationReport.Setup(
        answerTokens: statistics.setup.answerTokens, seed: statistics.setup.seed,
        holdout: statistics.setup.holdout),
      costs: costs, curves: curves(chosen), holdout: checked.isEmpty ? nil : curves(checked),
      migration: Migration(chosen, layerCount: text.layerCount),
      packing: PackingCost(
        encoding: subject.types.stored, source: subject.types.source, chosen),
      setWarnings: statistics.setup.setWarnings, refused: statistics.refusals)
  }

  /// The default profile by hand or by calibration, a schedule that was searched or given, a profile
  /// for each task, and the thresholds that a user may choose at run time.
  func schedule(
    _ report: CalibrationReport?, _ configuration: ModelConfiguration
  ) throws(InputError) -> TokenSchedule {
    let layerCount = configuration.text.layerCount
    let chosen = k ?? report?.k ?? layerCount
    let given = try givenProfile(configuration)
    let other = report?.schedules?.profile ?? given
    return TokenSchedule(
      layerCount: layerCount,
      profiles: [ScheduleProfile(withdrawingAt: chosen, of: layerCount)]
        + (other.map { [$0] } ?? []) + (report?.taskProfiles ?? []),
      candidates: report?.candidates ?? [])
  }
}
