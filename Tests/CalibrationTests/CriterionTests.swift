import Architecture
import Calibration
import TensorCore
import Testing

@Suite struct CriterionTests {
  private func curve(
    _ name: String, _ kl: [Double], agreement: [Double]? = nil, first: [Double]? = nil
  ) -> TaskCurve {
    TaskCurve(
      name: name, sampleCount: 10, positionCount: 20,
      points: kl.indices.map {
        CurvePoint(
          k: $0, meanKL: kl[$0], p95KL: kl[$0], maxKL: kl[$0], agreement: agreement?[$0] ?? 1,
          firstTokenMeanKL: first?[$0] ?? kl[$0])
      })
  }

  private func curves(_ tasks: [TaskCurve], pooled: TaskCurve? = nil) -> CalibrationCurves {
    CalibrationCurves(
      layerCount: tasks[0].points.count, tasks: tasks, pooled: pooled ?? tasks[0])
  }

  @Test func sustainedNeedsEveryTaskAndEveryLaterLayer() {
    let easy = curve("easy", [1, 0.001, 0.001, 0.001, 0.001])
    let late = curve("late", [1, 0.5, 0.001, 0.02, 0.001])
    #expect(Criterion.sustained.withdrawalLayer(curves([easy])) == 1)
    // K = 2 passes by itself, but K = 3 does not.
    #expect(Criterion.sustained.withdrawalLayer(curves([easy, late])) == 4)
  }

  @Test func sustainedNeedsAgreement() {
    let task = curve("t", [1, 0.001, 0.001], agreement: [0, 0.97, 0.98])
    #expect(Criterion.sustained.withdrawalLayer(curves([task])) == 2)
  }

  @Test func nothingPassesMeansNever() {
    let task = curve("t", [1, 1, 1])
    #expect(Criterion.sustained.withdrawalLayer(curves([task])) == 3)
    #expect(Criterion.paper.withdrawalLayer(curves([task])) == 3)
  }

  @Test func paperTakesTheFirstFromLayerFiveOnByTheFirstToken() {
    let kl = [0.0, 0, 0, 0, 0, 0.004, 0.003, 0.5, 0]
    let pooled = curve("all", Array(repeating: 9, count: 9), first: kl)
    #expect(Criterion.paper.withdrawalLayer(curves([pooled], pooled: pooled)) == 6)
  }

  /// First tokens that need no image must not lead to K = 0.
  @Test func firstTokensAloneDoNotDecideTheDefault() {
    let task = curve(
      "digits", [3, 2, 0.5, 0.001], first: [0, 0, 0, 0])
    #expect(Criterion.sustained.withdrawalLayer(curves([task])) == 3)
    #expect(!task.ignoresImage(eta: 0.01))
    let blind = curve("blind", [0.001, 0.001, 0, 0])
    #expect(blind.ignoresImage(eta: 0.01))
  }

  @Test func reportListsThresholdsThatNeverRise() throws {
    let task = curve("t", [1, 0.05, 0.004, 0.0004, 0.00004])
    let report = report(.sustained, curves([task]))
    #expect(report.k == 2)
    var last = Int.max
    for row in report.thresholds {
      #expect(row.k <= last)
      last = row.k
    }
    #expect(report.candidates.allSatisfy { $0.withdrawalLayer < 5 })
    #expect(report.candidates.first { $0.eta == 0.05 }?.withdrawalLayer == 1)
  }

  private func report(
    _ criterion: Criterion, _ curves: CalibrationCurves, holdout: CalibrationCurves? = nil,
    share: Double = 0
  ) -> CalibrationReport {
    CalibrationReport(
      criterion: criterion,
      setup: CalibrationReport.Setup(answerTokens: 8, seed: 0, holdout: share),
      costs: costs(curves.layerCount), curves: curves, holdout: holdout, refused: [])
  }

  /// K of N layers costs K / N.
  private func costs(_ layers: Int) -> WithdrawalCosts {
    let shares = (0...layers).map { Double($0) / Double(layers) }
    return WithdrawalCosts(
      operations: shares, keyValue: shares, keyValueBytes: (0...layers).map { $0 * 100 })
  }

  @Test func aBudgetTakesTheLeastLossWithinIt() {
    // Dearer is not always better: K = 3 loses more than K = 2.
    let easy = curve("easy", [1, 0.1, 0.001, 0.001, 0.001])
    let late = curve("late", [2, 1, 0.3, 0.4, 0.01])
    let set = curves([easy, late])
    func k(_ share: Double) -> Int {
      Criterion.budget(share, costs(5)).withdrawalLayer(set)
    }
    #expect(k(0.1) == 0 && k(0.2) == 1 && k(0.6) == 2 && k(0.8) == 4 && k(1) == 5)
    let dear = WithdrawalCosts(
      operations: Array(repeating: 0.5, count: 6), keyValue: [], keyValueBytes: [])
    #expect(Criterion.budget(0.4, dear).withdrawalLayer(set) == 5)
  }

  /// Rules without a bound for every task say which tasks they break.
  @Test func aBudgetThatBreaksATaskIsNotSilent() {
    let easy = curve("easy", [1, 0.001, 0.001, 0.001, 0.001])
    let late = curve("late", [2, 1, 0.3, 0.4, 0.001])
    let set = curves([easy, late])
    let budget = report(.budget(0.6, costs(5)), set)
    #expect(budget.k == 2)
    #expect(budget.warnings.count == 1 && budget.warnings[0].contains("'late'"))
    #expect(budget.warnings[0].contains("K = 4"), "\(budget.warnings)")
    #expect(report(.budget(0.8, costs(5)), set).warnings.isEmpty)
  }

  @Test func heldOutSamplesOfThePaperRuleMoveToTheNextLayerThatPasses() {
    let first = [0, 0, 0, 0, 0, 0.001, 0.5, 0.001, 0.001]
    let checking = [0, 0, 0, 0, 0, 0.5, 0, 0.5, 0.001]
    let zeros = Array(repeating: 0.0, count: 9)
    let chosen = curve("all", zeros, first: first)
    let checked = curve("all", zeros, first: checking)
    let found = report(
      .paper, curves([chosen], pooled: chosen),
      holdout: curves([checked], pooled: checked), share: 0.25)
    #expect(found.choice.calibrated == 5 && found.k == 8)
  }

  @Test func aChoiceThatNoLayerBearsOutMeansNever() {
    let found = report(
      .sustained, curves([curve("t", [1, 0.001, 0.001])]),
      holdout: curves([curve("t", [1, 1, 1])]), share: 0.25)
    #expect(found.choice.calibrated == 1 && found.k == 3)
    #expect(found.warnings.contains { $0.contains("never withdrawn") }, "\(found.warnings)")
    #expect(found.explanation.contains { $0.contains("visual rows never leave") })
  }

  @Test func aTaskWithNothingHeldOutIsNamed() {
    let set = curves([curve("big", [1, 0, 0]), curve("small", [1, 0, 0])])
    let found = report(.sustained, set, holdout: curves([curve("big", [1, 0, 0])]), share: 0.25)
    #expect(found.warnings.contains { $0.contains("'small'") && $0.contains("unchecked") })
  }

  /// The record's Pareto marks: each costs more than the one before and loses less.
  @Test func paretoLayersLoseLessForEveryStep() throws {
    let set = curves([curve("t", [1, 0.2, 0.3, 0.2, 0.1])])
    let rows = try #require(report(.sustained, set).json["layer_costs"]?.arrayValue)
    let marked = rows.filter { $0["pareto"]?.boolValue == true }.compactMap {
      $0["k"]?.integerValue
    }
    #expect(marked == [0, 1, 4, 5])
  }
}
