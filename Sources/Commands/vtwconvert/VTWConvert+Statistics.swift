import Architecture
import ArgumentParser
import Calibration
import CommandSupport
import Glibc
import Inference
import Kernels
import SampleSets
import TensorCore
import VTWMFile

extension VTWConvert {
  var statisticsPath: String { statistics.stats ?? output + ".stats" }

  // Seconds after which what was measured is put on the disk, if the user named a file for it.
  private static let savingInterval = 30.0

  /// The statistics of `--merge`; nil without.
  func mergedStatistics() throws(InputError) -> CalibrationStatistics? {
    guard !statistics.merge.isEmpty else { return nil }
    var parts: [(file: String, statistics: CalibrationStatistics)] = []
    for path in statistics.merge { parts.append((path, try CalibrationStatistics(at: path))) }
    return try CalibrationStatistics(merging: parts)
  }

  /// Finds out before any work whether statistics can be kept, and whether some are there already.
  func checkStatistics(inputs: [String]) throws(InputError) {
    guard !calib.isEmpty else { return }
    try OutputFile.check(statisticsPath, inputs: inputs)
    guard PathKind(of: statisticsPath) != .missing else { return }
    // Whatever else lies there was not meant, forced or not.
    _ = try CalibrationStatistics(at: statisticsPath)
    guard statistics.resume || force else {
      throw InputError(
        statisticsPath,
        "holds what an earlier run measured; go on from there with --resume, or start anew with "
          + "--force")
    }
  }

  /// Measures `samples`, or the part of them that `--shard` names, and goes on from what
  /// `--resume` finds.
  ///
  /// - Throws: `ExitCode` after an interruption, when everything that was measured is kept.
  func measure(
    _ samples: CalibrationSamples, _ subject: CalibrationSubject, compute: Compute
  ) throws -> MeasuredSamples {
    let setup = CalibrationStatistics.Setup(
      model: subject.modelID, set: samples.fingerprint, sampleCount: samples.count,
      layerCount: subject.contents.configuration.text.layerCount, answerTokens: calibTokens,
      seed: seed, holdout: holdoutShare, setWarnings: samples.warnings,
      setRefused: samples.choose.refused, comparesSource: compareSource)
    var measured = CalibrationStatistics(setup, shard: statistics.part)
    if statistics.resume, PathKind(of: statisticsPath) != .missing {
      let earlier = try CalibrationStatistics(at: statisticsPath)
      if let difference = measured.mismatch(earlier.setup) {
        throw InputError(statisticsPath, "is of \(difference); start anew with --force")
      }
      guard earlier.shard == measured.shard else {
        throw InputError(
          statisticsPath, "is of shard \(earlier.shard.text), not \(measured.shard.text)")
      }
      measured = earlier
    }

    let part = measured.shard.part(of: samples.all)
    let done = measured.doneIDs
    let rest = part.filter { !done.contains($0.sample.id) }
    let heldOut = Set(rest.filter(\.isHeldOut).map(\.sample.id))
    let calibrator = try calibrator(subject, compute: compute)
    let progress = ProgressLine("calibrating", isQuiet: quiet)
    let keep = saver()
    var answers: [String: Calibrator.FullAnswer] = [:]
    let isComplete = try InterruptCleanup.deferring {
      try calibrator.run(
        rest.map(\.sample),
        plan: search.plan(layerCount: subject.contents.configuration.text.layerCount),
        keepsAnswers: search.keepsAnswers,
        progress: { now in
          progress.update(
            (Double(done.count) + now.share * Double(rest.count)) / Double(max(1, part.count)),
            Self.detail(now, before: done.count, of: part.count, layers: setup.layerCount))
          return InterruptCleanup.signal == nil
        }
      ) { (outcome) throws(InputError) in
        measured.add(
          outcome.divergences.map { .init(isHeldOut: heldOut.contains($0.id), $0) },
          refused: outcome.refused)
        answers.merge(outcome.answers) { _, new in new }
        try keep(measured)
      }
    }
    progress.finish()
    guard isComplete else {
      throw try interrupted(measured, "\(measured.doneCount) of \(part.count) samples")
    }
    if statistics.stats != nil { try save(measured) }
    if statistics.shard != nil {
      if json {
        let result: JSONValue = [
          "stats": .string(statisticsPath), "shard": .string(measured.shard.text),
          "measured": .integer(measured.doneCount), "samples": .integer(samples.count),
        ]
        StandardOutput.write(result.text + "\n")
      }
      say(
        "measured \(measured.doneCount) of \(samples.count) samples, shard "
          + "\(measured.shard.text), into \(printable(statisticsPath))\n")
    }
    return MeasuredSamples(
      statistics: measured, calibrator: calibrator, samples: samples.all.map(\.sample),
      answers: answers)
  }

  /// Keeps `measured`, and says so.
  ///
  /// - Parameter what: what of it is measured.
  /// - Returns: the code to end the program with.
  func interrupted(
    _ measured: CalibrationStatistics, _ what: String
  ) throws(InputError) -> ExitCode {
    try save(measured)
    StandardError.write(
      "interrupted: \(what) are measured and kept in \(printable(statisticsPath)); the same command "
        + "with --resume goes on\n")
    return ExitCode(128 + (InterruptCleanup.signal ?? SIGINT))
  }

  /// What puts statistics on the disk now and then, if the user named a file for them.
  func saver() -> (CalibrationStatistics) throws(InputError) -> Void {
    let clock = ContinuousClock()
    var saved = clock.now
    return { (measured) throws(InputError) in
      guard statistics.stats != nil, seconds(clock.now - saved) > Self.savingInterval else {
        return
      }
      try save(measured)
      saved = clock.now
    }
  }

  /// "samples 33...64 of 96, layer 5 of 12"
  private static func detail(
    _ progress: CalibrationProgress, before: Int, of count: Int, layers: Int
  ) -> String {
    guard let samples = progress.samples, let layer = progress.layer else { return "" }
    return
      "samples \(before + samples.lowerBound + 1)...\(before + samples.upperBound) of \(count), "
      + "layer \(layer + 1) of \(layers)"
  }

  func save(_ measured: CalibrationStatistics) throws(InputError) {
    try OutputFile.write([Array(measured.json.text.utf8), [0x0A]], to: statisticsPath)
  }

  /// Removes what an interrupted run had kept, now that the model is written.
  func removeLeftStatistics() {
    guard !calib.isEmpty, statistics.stats == nil else { return }
    unsafe unlink(statisticsPath)
  }
}
