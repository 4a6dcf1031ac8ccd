import ArgumentParser
import Calibration
import CommandSupport

/// Options that keep, share out and join what a calibration measures.
struct StatisticsOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Keep what was measured of each sample in this file (default: FILE.vtwm.stats, only if the \
      run is interrupted).
      """, valueName: "file"), transform: nonemptyPath)
  var stats: String?

  @Flag(
    help: """
      Go on where a run that was interrupted or killed stopped: packing, calibrating or searching a \
      schedule.
      """)
  var resume = false

  @Option(
    help: ArgumentHelp(
      """
      Measure only every n-th sample from number i on, into --stats; write no model. Of schedules, \
      only freeze, A-B and auto --exhaustive, with --merge too.
      """,
      valueName: "i/n"))
  var shard: String?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Take what these --stats files measured instead of measuring.", valueName: "files"),
    transform: nonemptyPath)
  var merge: [String] = []

  mutating func validate() throws {
    if let shard, CalibrationStatistics.Shard(shard) == nil {
      throw ValidationError("--shard must be a part of a whole, such as 2/4.")
    }
    guard shard == nil || stats != nil else {
      throw ValidationError("--shard needs --stats, the file to measure into.")
    }
    guard merge.isEmpty || (stats == nil && shard == nil && !resume) else {
      throw ValidationError("--merge measures nothing; --stats, --shard and --resume do.")
    }
  }

  /// The part of the samples to measure.
  var part: CalibrationStatistics.Shard {
    shard.flatMap { CalibrationStatistics.Shard($0) } ?? .whole
  }
}
