import Architecture
import Calibration
import CommandSupport
import Inference
import Kernels
import Prompting
import RuntimeSupport
import SampleSets
import TensorCore
import VTWMFile

extension VTWConvert {
  private var holdoutShare: Double { holdout ?? criterion.holdout }

  /// The samples of all sets, apart for choosing and for checking; nil without `--calib`.
  func calibrationSamples(
    _ configuration: ModelConfiguration
  ) throws(InputError) -> CalibrationSamples? {
    guard !calib.isEmpty else { return nil }
    guard configuration.vision != nil else {
      throw InputError(input, "is a text-only model; --calib needs one that sees images")
    }
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
  func calibrator(
    _ contents: VTWMContents, tensors: TensorTable, precision: KeyValueRows.Precision,
    compute: Compute
  ) throws(InputError) -> Calibrator {
    let configuration = contents.configuration
    let tokenizer = try Tokenizer(contents.tokenizer)
    var options = CalibrationOptions()
    options.answerTokens = calibTokens
    options.batchBytes = maxMemory << 20
    return Calibrator(
      model: try Model(configuration, tensors, compute), tokenizer: tokenizer,
      encoder: PromptEncoder(
        tokenizer: tokenizer, template: contents.template,
        imageTokenID: configuration.imageTokenID.map(Int32.init),
        rowsPerImage: configuration.vision?.rowsPerImage ?? 0),
      imageSteps: contents.imageSteps, precision: precision, options: options)
  }

  /// Measures `samples` and chooses K.
  func calibrate(
    _ samples: CalibrationSamples, _ contents: VTWMContents, tensors: TensorTable,
    precision: KeyValuePrecision, compute: Compute
  ) throws(InputError) -> CalibrationReport {
    let calibrator = try calibrator(
      contents, tensors: tensors, precision: precision.kernel, compute: compute)
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
    guard !chosen.divergences.isEmpty else {
      throw InputError(calib.joined(separator: ", "), "no sample could be used for calibration")
    }
    let text = contents.configuration.text
    let costs = WithdrawalCosts(
      contents.configuration, keyValueRowBytes: 2 * text.keyValueWidth * precision.byteCount,
      textRows: ConvertResult.textRows)
    let criterion = criterion.criterion(costs)
    func curves(_ divergences: [SampleDivergence]) -> CalibrationCurves {
      CalibrationCurves(
        divergences, layerCount: text.layerCount, percentile: criterion.percentile ?? 95)
    }
    return CalibrationReport(
      criterion: criterion,
      setup: CalibrationReport.Setup(
        answerTokens: calibTokens, seed: seed, holdout: holdoutShare),
      costs: costs, curves: curves(chosen.divergences),
      holdout: checked.divergences.isEmpty ? nil : curves(checked.divergences),
      setWarnings: samples.warnings, refused: refused)
  }

  /// The default profile by hand or by calibration, a profile for each task, and the thresholds
  /// that a user may choose at run time.
  func schedule(_ report: CalibrationReport?, layerCount: Int) -> TokenSchedule {
    let chosen = k ?? report?.k ?? layerCount
    return TokenSchedule(
      layerCount: layerCount,
      profiles: [ScheduleProfile(withdrawingAt: chosen, of: layerCount)]
        + (report?.taskProfiles ?? []),
      candidates: report?.candidates ?? [])
  }
}
