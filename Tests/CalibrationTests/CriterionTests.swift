import Architecture
import Calibration
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
    let report = CalibrationReport(
      criterion: .sustained, answerTokens: 8, seed: 0, curves: curves([task]), holdout: nil,
      refused: [])
    #expect(report.k == 2)
    var last = Int.max
    for choice in report.etaChoices {
      #expect(choice.k <= last)
      last = choice.k
    }
    #expect(report.candidates.allSatisfy { $0.withdrawalLayer < 5 })
    #expect(report.candidates.first { $0.eta == 0.05 }?.withdrawalLayer == 1)
  }
}
