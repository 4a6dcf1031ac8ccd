package import Architecture

/// What was measured of schedules: the samples' divergences under each.
package struct ScheduleMeasurements {
  package typealias States = ScheduleCosts.States

  private let criterion: Criterion
  /// How many samples there are to choose, and held out.
  private let counts: (choosing: Int, heldOut: Int)
  /// By schedule: samples with one row of divergences, apart by whether they are held out.
  private var samples: [States: (choosing: [SampleDivergence], heldOut: [SampleDivergence])] = [:]

  /// - Parameter measured: all samples, with the schedules that were measured of them.
  package init(_ criterion: Criterion, _ measured: [CalibrationStatistics.Measured]) {
    self.criterion = criterion
    let heldOut = measured.count(where: \.isHeldOut)
    counts = (measured.count - heldOut, heldOut)
    for sample in measured { add(sample.divergence.schedules, of: sample) }
  }

  /// Takes in what `sample` gives under schedules that are new to it.
  package mutating func add(
    _ schedules: [States: AnswerDivergence], of sample: CalibrationStatistics.Measured
  ) {
    for (states, divergence) in schedules {
      let row = SampleDivergence(
        task: sample.divergence.task, id: sample.divergence.id, kl: [divergence.kl],
        agrees: [divergence.agrees])
      if sample.isHeldOut {
        samples[states, default: ([], [])].heldOut.append(row)
      } else {
        samples[states, default: ([], [])].choosing.append(row)
      }
    }
  }

  /// Curves of one point, of the samples that choose and of those held out; nil for a schedule that
  /// was not measured on all of them.
  package func curves(
    _ states: States
  ) -> (choosing: CalibrationCurves, heldOut: CalibrationCurves?)? {
    guard let found = samples[states],
      (found.choosing.count, found.heldOut.count) == counts
    else { return nil }
    func curves(_ samples: [SampleDivergence]) -> CalibrationCurves {
      // Dictionaries have no order, samples have: by id.
      CalibrationCurves(
        samples.sorted { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) }, layerCount: 1,
        percentile: criterion.percentile ?? 95)
    }
    return (
      curves(found.choosing), found.heldOut.isEmpty ? nil : curves(found.heldOut)
    )
  }

  /// Whether a schedule meets the criterion, on held-out samples too; nil if it was not measured.
  package func passes(_ states: States) -> Bool? {
    curves(states).map { passes($0.choosing) && ($0.heldOut.map(passes) ?? true) }
  }

  /// Whether each task by itself meets the criterion, in the order of their names.
  package func taskPasses(_ states: States) -> [Bool]? {
    curves(states).map { curves in
      curves.choosing.tasks.map { task in
        [curves.choosing, curves.heldOut].allSatisfy {
          $0?.only(task.name).map(passes) ?? true
        }
      }
    }
  }

  private func passes(_ curves: CalibrationCurves) -> Bool {
    let judged = criterion.rule == .paper ? [curves.pooled] : curves.tasks
    return judged.allSatisfy { $0.points.first.map(criterion.passes) ?? true }
  }

  /// The schedules that were measured, in no order.
  package var schedules: [States] { Array(samples.keys) }

  package func point(_ states: States, _ costs: ScheduleCosts) -> SchedulePoint? {
    guard let curves = curves(states), let passes = passes(states) else { return nil }
    return SchedulePoint(
      states: states, costs: costs, quality: ScheduleQuality(curves.choosing, at: 0),
      heldOut: curves.heldOut.map { ScheduleQuality($0, at: 0) }, passes: passes)
  }
}

/// What a schedule keeps of the answers.
package struct ScheduleQuality: Equatable, Sendable {
  /// The task that it hurts most, by mean KL.
  package var worstTask: String
  package var worstMeanKL: Double
  /// The least agreement of a task.
  package var leastAgreement: Double
  /// Over all tasks.
  package var meanKL: Double
  package var agreement: Double

  package init(
    worstTask: String, worstMeanKL: Double, leastAgreement: Double, meanKL: Double,
    agreement: Double
  ) {
    self.worstTask = worstTask
    self.worstMeanKL = worstMeanKL
    self.leastAgreement = leastAgreement
    self.meanKL = meanKL
    self.agreement = agreement
  }

  /// The point `index` of `curves`.
  init(_ curves: CalibrationCurves, at index: Int) {
    let worst = curves.worst(at: index)
    self.init(
      worstTask: worst?.name ?? "", worstMeanKL: worst?.point.meanKL ?? 0,
      leastAgreement: curves.tasks.map { $0.points[index].agreement }.min() ?? 1,
      meanKL: curves.pooled.points[index].meanKL,
      agreement: curves.pooled.points[index].agreement)
  }

  /// Of the model itself.
  static let full = ScheduleQuality(
    worstTask: "", worstMeanKL: 0, leastAgreement: 1, meanKL: 0, agreement: 1)
}

/// A schedule, what it costs, and what it keeps: a point of the picture of cost against quality.
package struct SchedulePoint: Equatable, Sendable {
  /// Layer by layer what becomes of visual rows.
  package var states: [ScheduleProfile.VisualState]
  /// Shares of the decoder's prefill and of the rows of keys and values without withdrawal.
  package var operations: Double
  package var keyValue: Double
  package var keyValueBytes: Int
  package var quality: ScheduleQuality
  /// On held-out samples; nil without any.
  package var heldOut: ScheduleQuality?
  /// Whether it meets the criterion, by itself.
  package var passes: Bool
  /// No cheaper schedule loses as little in its worst task.
  package var isPareto = false

  init(
    states: [ScheduleProfile.VisualState], costs: ScheduleCosts, quality: ScheduleQuality,
    heldOut: ScheduleQuality?, passes: Bool
  ) {
    self.states = states
    let ratios = costs.ratios(states)
    operations = ratios.operations
    keyValue = ratios.keyValue
    keyValueBytes = costs.keyValueBytes(states)
    self.quality = quality
    self.heldOut = heldOut
    self.passes = passes
  }

  /// Plain withdrawal, which freezes nothing.
  package var isWithdrawal: Bool { !states.contains(.frozen) }
}
