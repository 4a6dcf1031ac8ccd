import TensorCore

/// A threshold, the withdrawal layer it leads to, and what that layer costs and spares.
package struct ThresholdRow: Equatable, Sendable {
  package var eta: Double
  package var k: Int
  /// Shares of the decoder's prefill and of the rows of keys and values without withdrawal.
  package var operations: Double
  package var keyValue: Double
  /// Bytes of keys and values of a prompt with one image.
  package var keyValueBytes: Int
  /// Mean KL and agreement over all positions of all tasks.
  package var meanKL: Double
  package var agreement: Double
  /// The same over held-out positions; nil without any.
  package var heldoutMeanKL: Double?
  package var heldoutAgreement: Double?

  // 1-2-3-5 steps over the thresholds that papers and practice use; 0.003 is the published one.
  private static let etas = [
    1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 3e-2, 5e-2, 1e-1,
  ]

  /// What the rule of `criterion` takes at each threshold, by KL alone: whoever trades by threshold
  /// sees the agreement beside it.  A budget has no threshold, so its table is the default rule's.
  static func table(
    _ criterion: Criterion, _ costs: WithdrawalCosts, _ curves: CalibrationCurves,
    _ holdout: CalibrationCurves?
  ) -> [ThresholdRow] {
    var other = criterion
    if case .budget = criterion.rule { other = .sustained }
    other.agreement = 0
    return etas.map { eta in
      other.eta = eta
      return ThresholdRow(
        eta: eta, k: other.withdrawalLayer(curves), costs: costs, curves: curves, holdout: holdout)
    }
  }

  private init(
    eta: Double, k: Int, costs: WithdrawalCosts, curves: CalibrationCurves,
    holdout: CalibrationCurves?
  ) {
    self.eta = eta
    self.k = k
    operations = costs.operations[k]
    keyValue = costs.keyValue[k]
    keyValueBytes = costs.keyValueBytes[k]
    let isFull = k == curves.layerCount
    meanKL = isFull ? 0 : curves.pooled.points[k].meanKL
    agreement = isFull ? 1 : curves.pooled.points[k].agreement
    heldoutMeanKL = holdout.map { isFull ? 0 : $0.pooled.points[k].meanKL }
    heldoutAgreement = holdout.map { isFull ? 1 : $0.pooled.points[k].agreement }
  }
}
