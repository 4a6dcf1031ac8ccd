package import Architecture
import TensorCore

/// What a search for schedules beyond withdrawal found.
package struct ScheduleFindings: Equatable, Sendable {
  /// How schedules were looked for: `freeze`, `auto`, `greedy`, or `given` by the user.
  package var method: String
  package var objective: ScheduleObjective
  /// Whether every schedule was measured.
  package var isExhaustive: Bool
  /// Seconds of a layer, where the objective is time.
  package var seconds: ScheduleCosts.LayerSeconds?
  /// All that were measured, and withdrawal at every layer, the cheapest first.
  package private(set) var points: [SchedulePoint]
  /// The name of the profile that was chosen, and its place among the points.
  package var name: String
  package private(set) var chosenIndex: Int
  /// Its share of the decoder's prefill in the set's own prompts; a point's is for 64 text rows.
  package var setOperations: Double
  /// What it does to each task.
  package var tasks: [Task]

  /// What each task alone would take of the schedules that were measured; empty where that was not
  /// asked, or the names do not fit a plan.
  package private(set) var own: [Own] = []

  /// The cheapest schedule for one task alone.
  package struct Own: Equatable, Sendable {
    package var profile: ScheduleProfile
    package var point: SchedulePoint
    package var task: Task
  }

  /// A task under the chosen schedule.
  package struct Task: Equatable, Sendable {
    package var name: String
    package var choosing: CurvePoint
    package var heldOut: CurvePoint?
  }

  package var chosen: SchedulePoint { points[chosenIndex] }

  package var profile: ScheduleProfile { ScheduleProfile(name: name, states: chosen.states) }

  /// - Parameters:
  ///   - measured: schedules that freeze.
  ///   - report: with the curves of withdrawal, measured on the same samples.
  ///   - chosen: layer by layer; withdrawal, or one of `measured`.
  ///   - own: the same for tasks alone.
  package init(
    _ measured: ScheduleMeasurements, beside report: CalibrationReport, costs: ScheduleCosts,
    chosen: ScheduleCosts.States, own: [(task: String, states: ScheduleCosts.States)] = [],
    setOperations: Double, name: String, method: String, isExhaustive: Bool
  ) {
    self.method = method
    self.name = name
    self.isExhaustive = isExhaustive
    self.setOperations = setOperations
    objective = costs.objective
    seconds = costs.seconds
    let (curves, heldOut, criterion) = (report.curves, report.holdout, report.criterion)
    let layerCount = curves.layerCount
    var points = measured.schedules.filter { $0.contains(.frozen) }
      .compactMap { measured.point($0, costs) }
    for k in 0...layerCount {
      let states = FreezePoint(k, k).states(layerCount)
      let isFull = k == layerCount
      func passes(_ curves: CalibrationCurves) -> Bool {
        let judged = criterion.rule == .paper ? [curves.pooled] : curves.tasks
        return judged.allSatisfy { criterion.passes($0.points[k]) }
      }
      points.append(
        SchedulePoint(
          states: states, costs: costs,
          quality: isFull ? .full : ScheduleQuality(curves, at: k),
          heldOut: heldOut.map { isFull ? .full : ScheduleQuality($0, at: k) },
          passes: isFull || (passes(curves) && (heldOut.map(passes) ?? true))))
    }
    // The cheapest first, of equals the best; states make the order total.
    func key(_ point: SchedulePoint) -> (Double, Double, String) {
      (
        point.operations, point.quality.worstMeanKL, String(point.states.map(\.mark))
      )
    }
    points.sort { key($0) < key($1) }
    var least = Double.infinity
    for index in points.indices where points[index].quality.worstMeanKL < least {
      points[index].isPareto = true
      least = points[index].quality.worstMeanKL
    }
    self.points = points
    chosenIndex = points.firstIndex { $0.states == chosen } ?? points.count - 1
    /// What `states` do to the task `name`.
    func task(_ name: String, under states: ScheduleCosts.States) -> Task {
      let k = states.count { $0 != .withdrawn }
      let found = measured.curves(states)
      func point(_ own: CalibrationCurves?, _ all: CalibrationCurves?) -> CurvePoint? {
        if states.contains(.frozen) { return own?.only(name)?.pooled.points.first }
        return k < layerCount ? all?.only(name)?.pooled.points[k] : nil
      }
      let none = CurvePoint(
        k: layerCount, meanKL: 0, p95KL: 0, maxKL: 0, agreement: 1, firstTokenMeanKL: 0)
      return Task(
        name: name, choosing: point(found?.choosing, curves) ?? none,
        heldOut: point(found?.heldOut, heldOut))
    }
    tasks = curves.tasks.map { task($0.name, under: chosen) }
    // A plan has 256 profiles: the default one, this one, and two for each task.
    guard own.count <= 127 else { return }
    self.own = own.compactMap { own in
      let name = "\(name)-\(own.task)"
      guard name.utf8.count <= 255, let point = points.first(where: { $0.states == own.states })
      else { return nil }
      return Own(
        profile: ScheduleProfile(name: name, states: own.states), point: point,
        task: task(own.task, under: own.states))
    }
  }

  /// One sentence: what was chosen, what it saves, and what it keeps.
  var sentence: String {
    let points = points.count { !$0.isWithdrawal }
    var text =
      "schedule '\(name)' (\(points) that freeze were measured"
      + (isExhaustive ? ", all there are" : "") + "): "
    text += "\(profile.summary), \(percent(chosen.operations)) of the FLOPs"
    let withdrawals = self.points.filter { $0.isWithdrawal && $0.passes && $0.operations < 1 }
    if !chosen.isWithdrawal, let cheapest = withdrawals.first {
      text += " where the cheapest withdrawal that passes needs \(percent(cheapest.operations))"
    }
    if chosen.operations < 1 { text += "; \(percent(setOperations)) in prompts like the set's" }
    if chosen.operations < 1, !chosen.quality.worstTask.isEmpty {
      text +=
        "; its worst task is \(printable(chosen.quality.worstTask)), mean KL "
        + "\(short(chosen.quality.worstMeanKL)), least agreement "
        + percent(chosen.quality.leastAgreement)
    }
    if let heldOut = chosen.heldOut {
      text +=
        "; on held-out samples mean KL \(short(heldOut.worstMeanKL)) in the worst task, least "
        + "agreement \(percent(heldOut.leastAgreement))"
    }
    return text
  }
}
