/// What withdrawal costs over a set of answer positions: KL divergences and top-1 agreement.
///
/// Each divergence is rounded once, to a multiple of 2⁻⁴⁰ nats (9.1e-13), and all are kept.  From
/// then on everything is integer arithmetic over a multiset, so any order of `add` and any split
/// and `merge` of the samples give the same bits, and percentiles are exact.  A histogram would be
/// smaller but blurs the tail that `maxDivergence` and percentiles are there to show; eight bytes
/// per answer position are cheap beside the forward pass that gave them.
package struct DivergenceSum: Sendable {
  /// Multiples of `tick`, in no particular order.
  private var values: [UInt64] = []
  /// How many of the positions have the same most likely token.
  package private(set) var agreeingCount = 0

  /// One unit of the fixed-point values, in nats.
  package static let tick = 0x1p-40

  /// What stands for everything that is beyond the range, or no number: 2²⁴ nats.
  package static let largest = 0x1p24

  package init() {}

  /// Counts one answer position.
  ///
  /// - Parameter kl: nats.  What is beyond the range of 2²⁴ nats, infinite or NaN counts as the
  ///   largest value there is, so it can never pass for a good one; less than zero counts as zero.
  package mutating func add(kl: Double, agrees: Bool) {
    values.append(Self.ticks(of: kl))
    if agrees { agreeingCount += 1 }
  }

  /// Takes in everything that `other` counted.
  package mutating func merge(_ other: DivergenceSum) {
    values += other.values
    agreeingCount += other.agreeingCount
  }

  package var count: Int { values.count }

  /// All divergences as multiples of `tick`, ascending: the canonical form of the sum.
  package var ticks: [UInt64] { values.sorted() }

  /// Sum of all divergences in nats.
  package var total: Double {
    Double(values.reduce(0 as UInt128) { $0 + UInt128($1) }) * Self.tick
  }

  /// Mean divergence in nats; nil without samples.
  package var meanDivergence: Double? {
    values.isEmpty ? nil : total / Double(values.count)
  }

  /// Largest divergence in nats; nil without samples.
  package var maxDivergence: Double? { values.max().map { Double($0) * Self.tick } }

  /// The smallest divergence in nats that `percent` of 100 samples do not exceed (nearest rank);
  /// nil without samples.
  package func divergence(percentile percent: Int) -> Double? {
    precondition((1...100).contains(percent), "percentile \(percent)")
    guard !values.isEmpty else { return nil }
    let rank = (values.count * percent + 99) / 100
    return Double(ticks[rank - 1]) * Self.tick
  }

  /// Share of positions with the same most likely token; nil without samples.
  package var agreement: Double? {
    values.isEmpty ? nil : Double(agreeingCount) / Double(values.count)
  }

  /// Where the true agreement lies with 95 % confidence (Wilson).
  package var agreementInterval: ClosedRange<Double> {
    wilsonInterval(successes: agreeingCount, trials: values.count)
  }

  /// `kl` nats as a multiple of `tick`.
  package static func ticks(of kl: Double) -> UInt64 {
    let scaled = (kl / tick).rounded(.toNearestOrEven)
    // Also false for NaN.
    guard scaled < 0x1p64 else { return .max }
    return scaled > 0 ? UInt64(scaled) : 0
  }
}

extension DivergenceSum: Equatable {
  package static func == (a: Self, b: Self) -> Bool {
    a.agreeingCount == b.agreeingCount && a.ticks == b.ticks
  }
}
