import Architecture
import Calibration
import CommandSupport
import SampleSets
import TensorCore

/// Looks for a schedule, and measures on the way what it needs to know.
struct ScheduleFinder {
  private let report: CalibrationReport
  private let costs: ScheduleCosts
  private let calibrator: Calibrator
  private let answers: [String: Calibrator.FullAnswer]
  /// Those that could be used, with what the first sweep measured of them.
  private let samples: [Sample]
  private let heldOut: Set<String>
  let progress: ProgressLine
  private(set) var schedules: ScheduleMeasurements

  private var layerCount: Int { report.curves.layerCount }

  init(
    report: CalibrationReport, costs: ScheduleCosts, measured: MeasuredSamples,
    samples: [(sample: Sample, isHeldOut: Bool)], progress: ProgressLine
  ) {
    self.report = report
    self.costs = costs
    self.progress = progress
    calibrator = measured.calibrator
    answers = measured.answers
    let used = Set(measured.statistics.measured.map(\.divergence.id))
    self.samples = samples.map(\.sample).filter { used.contains($0.id) }
    heldOut = Set(samples.filter(\.isHeldOut).map(\.sample.id))
    schedules = ScheduleMeasurements(report.criterion)
    for sample in measured.statistics.measured {
      schedules.add(
        sample.divergence, isHeldOut: sample.isHeldOut, layerCount: report.curves.layerCount)
    }
  }

  private func passes(_ point: FreezePoint) -> Bool? {
    schedules.passes(point.states(layerCount))
  }

  private var freezing: [Bool] {
    (0..<layerCount).map { passes(FreezePoint($0, layerCount)) ?? false }
  }

  /// Freezing from the least layer that passes; under a budget the best of those within it.
  func freeze() -> ScheduleCosts.States {
    if case .budget(let share, _) = report.criterion.rule { return best(within: share) }
    return FreezePoint(ScheduleSearch.freezeLayer(freezing), layerCount).states(layerCount)
  }

  /// The cheapest of all, or under a budget the best.
  mutating func auto() throws(InputError) -> ScheduleCosts.States {
    if case .budget(let share, _) = report.criterion.rule { return best(within: share) }
    let (costs, layerCount) = (costs, layerCount)
    var search = ScheduleSearch(withdrawalLayer: report.k, freezing: freezing) {
      costs.price($0.states(layerCount))
    }
    search.add(known(ScheduleFork.all(layerCount: layerCount).flatMap(\.points)))
    while let fork = search.next() {
      try calibrator.run(
        samples, plan: LayerSweep.Plan(withdraws: false, forks: [fork]), answers: answers,
        progress: {
          progress.update($0.share)
          return true
        }
      ) { outcome in
        for sample in outcome.divergences {
          schedules.add(sample, isHeldOut: heldOut.contains(sample.id), layerCount: layerCount)
        }
      }
      search.add(known(fork.points))
    }
    return search.best.states(layerCount)
  }

  private func known(_ points: [FreezePoint]) -> [FreezePoint: Bool] {
    Dictionary(
      uniqueKeysWithValues: points.compactMap { point in passes(point).map { (point, $0) } })
  }

  /// Freezes one layer after another, each time the one that costs the least KL over all tasks, as
  /// long as the criterion is met.
  mutating func greedy() throws(InputError) -> ScheduleCosts.States {
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

  /// Runs every sample as each of `candidates` says.
  mutating func measure(_ candidates: [ScheduleCosts.States]) throws(InputError) {
    let outcome = try calibrator.run(
      samples, profiles: candidates.map { ScheduleProfile(name: "", states: $0) },
      answers: answers,
      progress: {
        progress.update($0)
        return true
      })
    for sample in outcome?.divergences ?? [] {
      for (place, states) in candidates.enumerated() {
        schedules.add(
          AnswerDivergence(kl: sample.kl[place], agrees: sample.agrees[place]), of: sample,
          isHeldOut: heldOut.contains(sample.id), under: states)
      }
    }
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
