import Architecture
import Calibration
import CommandSupport
import SampleSets
import TensorCore

/// Looks for a schedule, and measures on the way what it needs to know and the statistics lack.
struct ScheduleFinder {
  /// The user ended the search; what was measured stands in the statistics.
  struct Interruption: Error {}

  private let report: CalibrationReport
  private let costs: ScheduleCosts
  /// Takes the statistics whenever there are new ones.
  private let keep: (CalibrationStatistics) throws(InputError) -> Void
  let progress: ProgressLine
  private var measured: MeasuredSamples
  private(set) var schedules: ScheduleMeasurements

  private var layerCount: Int { report.curves.layerCount }
  var statistics: CalibrationStatistics { measured.statistics }

  init(
    report: CalibrationReport, costs: ScheduleCosts, measured: MeasuredSamples,
    progress: ProgressLine,
    keep: @escaping (CalibrationStatistics) throws(InputError) -> Void
  ) {
    self.report = report
    self.costs = costs
    self.measured = measured
    self.progress = progress
    self.keep = keep
    schedules = ScheduleMeasurements(report.criterion, measured.statistics.measured)
  }

  private func passes(_ point: FreezePoint) -> Bool? {
    schedules.passes(point.states(layerCount))
  }

  /// Whether freezing at each layer passes; nil where that was not measured.
  private var freezing: [Bool?] { (0..<layerCount).map { passes(FreezePoint($0, layerCount)) } }

  /// Freezing from the least layer that passes; under a budget the best of those within it.
  mutating func freeze() throws -> ScheduleCosts.States {
    try measure(ScheduleFork.freezing(layerCount: layerCount))
    if case .budget(let share, _) = report.criterion.rule { return best(within: share) }
    return FreezePoint(ScheduleSearch.freezeLayer(freezing), layerCount).states(layerCount)
  }

  /// The cheapest of all, or under a budget the best.
  ///
  /// - Parameter isExhaustive: whether to measure all there are.
  mutating func auto(isExhaustive: Bool) throws -> ScheduleCosts.States {
    let all = ScheduleFork.all(layerCount: layerCount)
    try measure(isExhaustive ? all : ScheduleFork.searching(layerCount: layerCount))
    if case .budget(let share, _) = report.criterion.rule { return best(within: share) }
    let (costs, layerCount) = (costs, layerCount)
    var search = ScheduleSearch(withdrawalLayer: report.k, freezing: freezing) {
      costs.price($0.states(layerCount))
    }
    search.add(known(all.flatMap(\.points)))
    while let forks = search.next() {
      try measure(forks)
      search.add(known(forks.flatMap(\.points)))
    }
    return search.best.states(layerCount)
  }

  /// What each task alone would take of all that was measured, in the order of the report's tasks.
  ///
  /// - Parameter freezesOnly: whether to look at schedules that never withdraw alone.
  func own(freezesOnly: Bool) -> [(task: String, states: ScheduleCosts.States)] {
    // A budget takes what loses least, which the K of a task does not rest on.
    if case .budget = report.criterion.rule { return [] }
    let (costs, layerCount) = (costs, layerCount)
    let known = ScheduleFork.all(layerCount: layerCount).flatMap(\.points).compactMap { point in
      schedules.taskPasses(point.states(layerCount)).map { (point, $0) }
    }
    return report.curves.tasks.indices.map { task in
      let passes = Dictionary(uniqueKeysWithValues: known.map { ($0, $1[task]) })
      let freezing = (0..<layerCount).map { passes[FreezePoint($0, layerCount)] }
      var best = FreezePoint(ScheduleSearch.freezeLayer(freezing), layerCount)
      if !freezesOnly {
        var search = ScheduleSearch(
          withdrawalLayer: report.taskChoices[task].k, freezing: freezing
        ) { costs.price($0.states(layerCount)) }
        search.add(passes)
        search.settle()
        best = search.best
      }
      return (report.curves.tasks[task].name, best.states(layerCount))
    }
  }

  private func known(_ points: [FreezePoint]) -> [FreezePoint: Bool] {
    Dictionary(
      uniqueKeysWithValues: points.compactMap { point in passes(point).map { (point, $0) } })
  }

  /// Freezes one layer after another, each time the one that costs the least KL over all tasks, as
  /// long as the criterion is met.
  mutating func greedy() throws -> ScheduleCosts.States {
    var chosen = ScheduleCosts.States(repeating: .full, count: layerCount)
    while chosen.contains(.full) {
      let candidates = chosen.indices.filter { chosen[$0] == .full }.map { layer in
        var states = chosen
        states[layer] = .frozen
        return states
      }
      try measure(candidates)
      func loss(_ states: ScheduleCosts.States) -> Double {
        schedules.curves(states)?.choosing.pooled.points.first?.meanKL ?? .infinity
      }
      guard let best = candidates.min(by: { loss($0) < loss($1) }),
        schedules.passes(best) == true
      else { break }
      chosen = best
    }
    return chosen
  }

  /// The schedule that was given, measured if it freezes: withdrawal was.
  mutating func given(_ states: ScheduleCosts.States) throws -> ScheduleCosts.States {
    if !states.contains(.frozen) { return states }
    if let point = FreezePoint(states) {
      try measure([ScheduleFork(freeze: point.freeze, ends: [point.withdraw])])
    } else {
      try measure([states])
    }
    return states
  }

  // MARK: Measuring

  /// The samples that lack some of `states`.
  ///
  /// - Throws: `InputError` if there are some, but only their statistics are at hand.
  private func lacking(_ states: [ScheduleCosts.States]) throws(InputError) -> [Sample] {
    let ids = Set(
      statistics.measured.filter { sample in
        states.contains { sample.divergence.schedules[$0] == nil }
      }.map(\.divergence.id))
    let samples = measured.samples.filter { ids.contains($0.id) }
    guard samples.count == ids.count else {
      throw InputError(
        "",
        "\(ids.count) of \(statistics.measured.count) samples lack measurements of this "
          + "--schedule; measure every shard with it, and --merge them anew")
    }
    return samples
  }

  private func goesOn(_ share: Double) -> Bool {
    progress.update(share)
    return InterruptCleanup.signal == nil
  }

  /// Runs the samples that were not yet through the forks.
  private mutating func measure(_ forks: [ScheduleFork]) throws {
    let rest = try lacking(forks.flatMap { $0.points.map { $0.states(layerCount) } })
    guard !rest.isEmpty, let calibrator = measured.calibrator else { return }
    // Samples of an earlier run come without the full model's answers.
    let unknown = rest.filter { measured.answers[$0.id] == nil }
    if !unknown.isEmpty { try run(unknown, [], calibrator) }
    let isComplete = try calibrator.run(
      rest, plan: LayerSweep.Plan(withdraws: false, forks: forks), answers: measured.answers,
      progress: { goesOn($0.share) }
    ) { (outcome) throws(InputError) in try take(outcome) }
    guard isComplete else { throw Interruption() }
  }

  /// Runs the samples that were not yet as each of `candidates` says.
  private mutating func measure(_ candidates: [ScheduleCosts.States]) throws {
    var new: [ScheduleCosts.States] = []
    for states in candidates where try !lacking([states]).isEmpty { new.append(states) }
    guard !new.isEmpty, let calibrator = measured.calibrator else { return }
    try run(try lacking(new), new, calibrator)
  }

  private mutating func run(
    _ samples: [Sample], _ candidates: [ScheduleCosts.States], _ calibrator: Calibrator
  ) throws {
    let outcome = try calibrator.run(
      samples, as: candidates, answers: measured.answers, progress: goesOn)
    guard let outcome else { throw Interruption() }
    measured.answers = outcome.answers
    try take(outcome)
  }

  /// Takes in what the samples of `outcome` give under schedules.
  private mutating func take(_ outcome: Calibrator.Outcome) throws(InputError) {
    if let refused = outcome.refused.first {
      throw InputError(refused.id, "was measured before, but now: \(refused.reason)")
    }
    let known = Dictionary(
      uniqueKeysWithValues: statistics.measured.map { ($0.divergence.id, $0) })
    for found in outcome.divergences {
      guard let sample = known[found.id] else { continue }
      // What is known already counts once.
      schedules.add(
        found.schedules.filter { sample.divergence.schedules[$0.key] == nil }, of: sample)
    }
    measured.statistics.add(schedules: outcome.divergences)
    try keep(measured.statistics)
  }

  /// Of the schedules within a budget, withdrawal among them, the one whose worst task has the
  /// least mean KL; of equals the cheapest.
  private func best(within share: Double) -> ScheduleCosts.States {
    let full = FreezePoint(layerCount, layerCount).states(layerCount)
    let k = report.k
    let withdrawal = FreezePoint(k, k).states(layerCount)
    // Without any withdrawal within the budget K is the layer count, whose loss is none.
    let isWithin = costs.ratios(withdrawal).operations <= share
    let loss = k < layerCount ? report.curves.worst(at: k)?.point.meanKL ?? 0 : 0
    var best = (loss: isWithin ? loss : Double.infinity, states: isWithin ? withdrawal : full)
    for states in schedules.schedules where costs.ratios(states).operations <= share {
      guard let loss = schedules.curves(states)?.choosing.worst(at: 0)?.point.meanKL else {
        continue
      }
      if loss < best.loss || (loss == best.loss && costs.price(states) < costs.price(best.states)) {
        best = (loss, states)
      }
    }
    return best.states
  }
}
