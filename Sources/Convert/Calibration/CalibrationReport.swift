package import Architecture
import TensorCore

/// Everything a calibration found out: what is stored in the file, printed, and drawn.
package struct CalibrationReport: Equatable, Sendable {
  /// How the samples were chosen and compared.
  package struct Setup: Equatable, Sendable {
    package var answerTokens: Int
    package var seed: UInt64
    /// Share of the samples that was kept apart.
    package var holdout: Double

    package init(answerTokens: Int, seed: UInt64, holdout: Double) {
      self.answerTokens = answerTokens
      self.seed = seed
      self.holdout = holdout
    }
  }

  /// A withdrawal layer before and after held-out samples had their say.
  package struct Choice: Equatable, Sendable {
    /// What the criterion takes on the samples that choose.
    package var calibrated: Int
    /// The least K from there on that held-out samples bear out.
    package var k: Int
  }

  package var criterion: Criterion
  package var setup: Setup
  package var costs: WithdrawalCosts
  package var curves: CalibrationCurves
  /// Curves of the samples kept apart; nil if none were.
  package var holdout: CalibrationCurves?
  /// Where the image goes, in the samples that choose; nil if that was not measured.
  package var migration: Migration?
  /// What packing changed in them; nil if that was not measured.
  package var packing: PackingCost?
  /// Schedules beyond withdrawal; nil if none were looked for.
  package var schedules: ScheduleFindings?
  package var choice: Choice
  /// What each task would take by itself, in the order of `curves.tasks`.
  package var taskChoices: [Choice]
  /// How K and what it costs follow the threshold.
  package var thresholds: [ThresholdRow]
  /// What was said of the sets before anything was measured.
  package var setWarnings: [String]
  package var warnings: [String]
  /// Refused samples with the reason.
  package var refused: [String]

  package var k: Int { choice.k }

  /// The most tasks whose curves a file of so many layers can keep: a section of JSON has at most
  /// 200,000 values.  A task, or all together, takes two curves of up to 15 values per layer, ten
  /// of its migration, and some more; a tenth is left for warnings and refused samples.  A plan has
  /// 256 profiles, two of which are for all tasks.
  package static func mostTasks(layerCount: Int) -> Int {
    min(254, (180_000 - 10 * layerCount) / (40 * layerCount + 60) - 1)
  }

  package init(
    criterion: Criterion, setup: Setup, costs: WithdrawalCosts, curves: CalibrationCurves,
    holdout: CalibrationCurves?, migration: Migration? = nil, packing: PackingCost? = nil,
    setWarnings: [String] = [], refused: [String]
  ) {
    self.criterion = criterion
    self.setup = setup
    self.costs = costs
    self.curves = curves
    self.holdout = holdout
    self.migration = migration
    self.packing = packing
    self.setWarnings = setWarnings
    self.refused = refused
    choice = Self.choice(criterion, curves, holdout)
    taskChoices = curves.tasks.map { task in
      curves.only(task.name).map { Self.choice(criterion, $0, holdout?.only(task.name)) }
        ?? Choice(calibrated: curves.layerCount, k: curves.layerCount)
    }
    thresholds = ThresholdRow.table(criterion, costs, curves, holdout)
    warnings = []
    warnings = findWarnings()
  }

  private static func choice(
    _ criterion: Criterion, _ curves: CalibrationCurves, _ holdout: CalibrationCurves?
  ) -> Choice {
    let k = criterion.withdrawalLayer(curves)
    return Choice(
      calibrated: k, k: holdout.map { criterion.verified(k, curves, heldout: $0) } ?? k)
  }

  /// The thresholds with what was measured at their K, as the file's plan stores them.
  ///
  /// Thresholds that lead to K = layerCount are left out: there nothing is withdrawn.
  package var candidates: [ScheduleCandidate] {
    thresholds.filter { $0.k < curves.layerCount }.map { row in
      let point = curves.pooled.points[row.k]
      return ScheduleCandidate(
        eta: Float(row.eta), withdrawalLayer: row.k, meanKL: Float(point.meanKL),
        maxKL: Float(point.maxKL), agreement: Float(point.agreement),
        sampleCount: curves.pooled.sampleCount)
    }
  }

  /// One profile for each task that can give it its name, and one for its own schedule if that was
  /// searched too.
  ///
  /// "default" is the profile for all of them, whose K suits a task of that name too; so does a
  /// schedule that was searched.
  package var taskProfiles: [ScheduleProfile] {
    let tasks = zip(curves.tasks, taskChoices).compactMap { task, choice -> ScheduleProfile? in
      guard task.name != "default", task.name != schedules?.name,
        (1...255).contains(task.name.utf8.count)
      else { return nil }
      return ScheduleProfile(name: task.name, withdrawingAt: choice.k, of: curves.layerCount)
    }
    let taken = Set(tasks.map(\.name))
    return tasks + (schedules?.own ?? []).map(\.profile).filter { !taken.contains($0.name) }
  }

  /// Mean KL over all tasks of withdrawing before each layer.
  package var layerKL: [Float?] { curves.pooled.points.map { Float($0.meanKL) } }

  /// The curve as a table for a terminal, one line per task, K in columns.
  package var table: String {
    let shown = max(0, min(k, curves.layerCount) - 6)..<curves.layerCount
    let nameWidth = max(8, curves.tasks.map(\.name.count).max() ?? 0)
    func line(_ name: String, _ cells: [String]) -> String {
      let padded = name + String(repeating: " ", count: max(0, nameWidth - name.count))
      return "  " + padded
        + cells.map { String(repeating: " ", count: max(1, 9 - $0.count)) + $0 }.joined() + "\n"
    }
    var text = line("K", shown.map(String.init))
    for task in curves.tasks + [curves.pooled] {
      text += line(
        printable(task.name, limit: nameWidth),
        shown.map { k in
          let point = task.points[k]
          return fixed(point.meanKL, 4) + (criterion.passes(point) ? " " : "*")
        })
    }
    text += "  mean KL(withdrawn‖full) in nats per answer position; * misses the criterion\n"
    return text
  }
}
