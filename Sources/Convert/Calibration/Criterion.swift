/// How the withdrawal layer is chosen from the measured curves: values in, K out.
package struct Criterion: Equatable, Sendable {
  package enum Rule: String, Sendable {
    /// The published rule: mean KL of the first answer token over all samples; the first K from
    /// `firstLayer` on that passes is taken.
    case paper
    /// Every task, all answer positions, mean KL and top-1 agreement; K passes only if every
    /// K' >= K passes too.
    case sustained
  }

  package var rule: Rule
  /// Largest mean KL in nats.
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

  /// The chosen K in `0...layerCount`; `layerCount` (never withdraw) if nothing passes.
  package func withdrawalLayer(_ curves: CalibrationCurves) -> Int {
    let layerCount = curves.layerCount
    switch rule {
    case .paper:
      return (0..<layerCount).first {
        $0 >= firstLayer && curves.pooled.points[$0].firstTokenMeanKL <= eta
      } ?? layerCount
    case .sustained:
      var k = layerCount
      while k > firstLayer, curves.tasks.allSatisfy({ passes($0.points[k - 1]) }) { k -= 1 }
      return k
    }
  }

  /// Whether one task passes at one K.
  package func passes(_ point: CurvePoint) -> Bool {
    switch rule {
    case .paper: point.firstTokenMeanKL <= eta
    case .sustained: point.meanKL <= eta && point.agreement >= agreement
    }
  }
}
