/// How the withdrawal layer is chosen from the measured curves: values in, K out.
package struct Criterion: Equatable, Sendable {
  package enum Rule: Equatable, Sendable {
    /// The published rule: mean KL of the first answer token over all samples; the first K from
    /// `firstLayer` on that passes is taken.
    case paper
    /// Every task, all answer positions, mean KL and top-1 agreement; K passes only if every
    /// K' >= K passes too.
    case sustained
    /// The same with a percentile (1...100) of KL in place of its mean.
    case quantile(Int)
    /// The K whose worst task has the least mean KL among those that a budget of FLOPs allows.
    ///
    /// - Parameters:
    ///   - share: the budget, as a share of the decoder's prefill without withdrawal.
    ///   - lastLayer: the largest K within it; nil if there is none.
    case budget(share: Double, lastLayer: Int?)

    /// The name in records and messages.
    package var name: String {
      switch self {
      case .paper: "paper"
      case .sustained: "sustained"
      case .quantile: "quantile"
      case .budget: "budget"
      }
    }
  }

  package var rule: Rule
  /// Largest KL in nats: of the mean, or of the percentile.
  package var eta: Double
  /// Smallest share of positions with an equal top-1 token; 0 asks for nothing.
  package var agreement: Double
  /// The lowest K that may be chosen.
  package var firstLayer: Int

  package init(rule: Rule, eta: Double, agreement: Double, firstLayer: Int) {
    self.rule = rule
    self.eta = eta
    self.agreement = agreement
    self.firstLayer = firstLayer
  }

  /// The published search of arXiv 2405.05803 for LLaVA-1.5-7B: eta 0.003, K from 5 on.
  package static let paper = Criterion(rule: .paper, eta: 0.003, agreement: 0, firstLayer: 5)

  /// Ours: mean KL of what 4-bit weights cost, and 98 % equal top-1 tokens, in every task.
  package static let sustained = Criterion(
    rule: .sustained, eta: 0.01, agreement: 0.98, firstLayer: 0)

  /// `percent` of the positions may differ by at most 0.05 nats.
  ///
  /// By Pinsker's inequality that moves no more than 16 % of probability, so a token that leads by
  /// a third stays the first.
  package static func quantile(_ percent: Int) -> Criterion {
    Criterion(rule: .quantile(percent), eta: 0.05, agreement: 0.98, firstLayer: 0)
  }

  /// The best K for at most `share` of the FLOPs.  Its bounds only say what is warned of.
  package static func budget(_ share: Double, _ costs: WithdrawalCosts) -> Criterion {
    var criterion = sustained
    criterion.rule = .budget(share: share, lastLayer: costs.lastLayer(within: share))
    return criterion
  }

  /// The percentile of KL that the rule looks at, where it looks at one.
  package var percentile: Int? { if case .quantile(let percent) = rule { percent } else { nil } }

  /// The chosen K in `0...layerCount`; `layerCount` (never withdraw) if nothing passes.
  package func withdrawalLayer(_ curves: CalibrationCurves) -> Int {
    let layerCount = curves.layerCount
    switch rule {
    case .paper:
      return (0..<layerCount).first { $0 >= firstLayer && passes(curves.pooled.points[$0]) }
        ?? layerCount
    case .sustained, .quantile:
      var k = layerCount
      while k > firstLayer, curves.tasks.allSatisfy({ passes($0.points[k - 1]) }) { k -= 1 }
      return k
    case .budget(_, let lastLayer):
      guard let lastLayer, lastLayer >= firstLayer else { return layerCount }
      // The first of equals costs least; at K = layerCount nothing differs.
      func loss(_ k: Int) -> Double {
        k == layerCount ? 0 : curves.worst(at: k)?.point.meanKL ?? 0
      }
      return (firstLayer...lastLayer).min { loss($0) < loss($1) } ?? layerCount
    }
  }

  /// The least K from `k` on at which both the samples that chose it and `heldout` pass.
  ///
  /// A budget has nothing to pass.
  package func verified(
    _ k: Int, _ curves: CalibrationCurves, heldout: CalibrationCurves
  ) -> Int {
    switch rule {
    case .paper:
      (k..<curves.layerCount).first {
        passes(curves.pooled.points[$0]) && passes(heldout.pooled.points[$0])
      } ?? curves.layerCount
    case .sustained, .quantile: max(k, withdrawalLayer(heldout))
    case .budget: k
    }
  }

  /// Whether one task passes at one K.
  package func passes(_ point: CurvePoint) -> Bool {
    divergence(point) <= eta && (rule == .paper || point.agreement >= agreement)
  }

  /// What is compared with `eta`.
  package func divergence(_ point: CurvePoint) -> Double {
    switch rule {
    case .paper: point.firstTokenMeanKL
    case .sustained, .budget: point.meanKL
    case .quantile: point.quantileKL
    }
  }
}
