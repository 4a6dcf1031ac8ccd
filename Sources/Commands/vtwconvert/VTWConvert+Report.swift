import Architecture
import Calibration
import CommandSupport
import Inference
import Kernels
import Prompting
import Report
import RuntimeSupport
import SampleSets
import TensorCore
import VTWMFile

extension VTWConvert {
  private static let changedSamples = 10
  // Enough to see where two answers part; a caption is longer.
  private static let answerTokens = 48
  /// Rounds of timing at most, and the seconds after which no further one starts.
  private static let timing = (rounds: 40, budget: 4.0)

  /// Finds out before any work whether the report can be written.
  func checkReport(inputs: [String]) throws(InputError) {
    guard let reportPath else { return }
    guard reportPath != output, reportPath != statisticsPath else {
      throw InputError(
        reportPath, "is also the name of another output; choose another for --report")
    }
    try ReportFile.check(reportPath, others: inputs + [output, statisticsPath])
  }

  /// Writes the report of the finished model, if one was asked for.
  ///
  /// - Parameter samples: those that were measured; nil if only their statistics are at hand.
  func writeReport(
    _ measured: CalibrationStatistics, _ samples: CalibrationSamples?, compute: Compute
  ) throws(InputError) {
    guard let reportPath else { return }
    let file = try VTWMFile(opening: output)
    let k = ReportPage.comparedLayer(
      file.schedule.profiles[file.schedule.defaultProfile].withdrawalLayer,
      layerCount: file.schedule.layerCount)
    var changed = measured.mostChanged(at: k, count: Self.changedSamples).map {
      ChangedSample($0, at: k)
    }
    var times: PrefillTimes?
    if let samples {
      let progress = ProgressLine("writing the report", isQuiet: quiet)
      let calibrator = try calibrator(
        CalibrationSubject(
          contents: VTWMContents(file), tensors: file.tensors, precision: file.keyValuePrecision,
          modelID: file.modelID, types: CalibrationSubject.types(of: file)), compute: compute)
      let tokenizer = try Tokenizer(file.tokenizer)
      let all = samples.all.map(\.sample)
      for place in changed.indices {
        guard let sample = all.first(where: { $0.id == changed[place].id }) else { continue }
        do {
          changed[place].answers = try answers(sample, at: k, calibrator, tokenizer)
        } catch {
          changed[place].problem = error.problem
        }
        progress.update(Double(place + 1) / Double(changed.count + 1))
      }
      // The first of the set will do as well as any other.
      if let sample = all.first(where: { !$0.images.isEmpty }) {
        times = try? prefillTimes(sample, k: k, file, calibrator, compute)
      }
      progress.finish()
    }
    try ReportFile.write(ReportPage(file, times: times, samples: changed), to: reportPath)
  }

  private func answers(
    _ sample: Sample, at k: Int, _ calibrator: Calibrator, _ tokenizer: Tokenizer
  ) throws(InputError) -> ChangedSample.Answers {
    let replay = try calibrator.replay(sample)
    func answer(_ k: Int) throws(InputError) -> String {
      try replay.answer(
        withdrawingAt: k, mostTokens: Self.answerTokens, tokenizer: tokenizer)
    }
    var thumbnails: [Thumbnail] = []
    for image in replay.images { thumbnails.append(try Thumbnail(image)) }
    return ChangedSample.Answers(
      question: sample.question ?? "", expected: sample.answer,
      full: try answer(replay.layerCount), withdrawn: try answer(k), thumbnails: thumbnails)
  }

  /// Times the prefill of `sample` at some layers, in turns.
  private func prefillTimes(
    _ sample: Sample, k: Int, _ file: VTWMFile, _ calibrator: Calibrator, _ compute: Compute
  ) throws(InputError) -> PrefillTimes {
    let replay = try calibrator.replay(sample)
    let layerCount = replay.layerCount
    let full = try replay.prefillSeconds(withdrawingAt: layerCount)
    let isSlow = full > Self.timing.budget / 4
    // A slow model is timed once, where it matters; a fast one all along, and often.
    let layers = Set(
      [k, layerCount]
        + (isSlow ? [] : [0, layerCount / 4, layerCount / 2, layerCount * 3 / 4])
    ).sorted()
    var taken: [Int: [Double]] = [:]
    let clock = ContinuousClock()
    let start = clock.now
    for round in 0..<(isSlow ? 1 : Self.timing.rounds) {
      guard round == 0 || seconds(clock.now - start) < Self.timing.budget else { break }
      for layer in layers {
        taken[layer, default: []].append(try replay.prefillSeconds(withdrawingAt: layer))
      }
    }
    return PrefillTimes(
      sample: sample.id, visualRows: replay.visualRows, textRows: replay.textRows,
      engine: "\(compute.threads) threads, \(compute.instructionSet.rawValue)",
      visionSeconds: replay.visionSeconds,
      points: layers.map {
        .init(
          k: $0, seconds: taken[$0] ?? [], operations: replay.operations(withdrawingAt: $0))
      })
  }
}

extension ChangedSample {
  /// What was measured of it at layer `k`.
  fileprivate init(_ sample: CalibrationStatistics.Measured, at k: Int) {
    let divergence = sample.divergence
    let row = divergence.kl[k]
    self.init(
      id: divergence.id, task: divergence.task, isHeldOut: sample.isHeldOut,
      meanKL: row.reduce(0, +) / Double(max(1, row.count)), maxKL: row.max() ?? 0,
      positions: row.count, agreeing: divergence.agrees[k].count { $0 })
  }
}
