/// Finds the cheapest schedule that freezes visual rows at one layer and withdraws them at another.
///
/// A schedule (a, b) is admissible if it is sustained in `b`: every (a, b') with b' >= b passes, so
/// that (a, N), which only freezes, does too.
///
/// Withdrawal at the calibrated K is admissible by its own rule.  Of the admissible schedules the
/// cheapest is taken; of equals the one that withdraws at K, or freezes first.
///
/// Costs rise with `a` and with `b`.  So `a` goes up, over those that pass if they only freeze, which
/// is asked for where it is unknown, until (a, a) costs as much as the best so far; and only such `b`
/// are asked for as would cost less, the dearest of them first: if that misses, so do all below it.
package struct ScheduleSearch {
  package let layerCount: Int
  private let price: (FreezePoint) -> ScheduleCosts.Price
  private var passes: [FreezePoint: Bool] = [:]
  /// The cheapest admissible schedule so far.
  package private(set) var best: FreezePoint
  private var current = 0

  // Ends measured at once, from the last on: most misses are found within one round.
  private static let endsPerRound = 8

  /// - Parameters:
  ///   - withdrawalLayer: K of the calibration.
  ///   - freezing: whether freezing at each layer passes, never withdrawing; nil where that is not
  ///     known.
  ///   - price: costs.
  package init(
    withdrawalLayer: Int, freezing: [Bool?],
    price: @escaping (FreezePoint) -> ScheduleCosts.Price
  ) {
    layerCount = freezing.count
    self.price = price
    best = FreezePoint(withdrawalLayer, withdrawalLayer)
    for (layer, passes) in freezing.enumerated() {
      if let passes { self.passes[FreezePoint(layer, layerCount)] = passes }
    }
    consider(FreezePoint(Self.freezeLayer(freezing), layerCount))
  }

  /// The least layer from which on freezing passes; the layer count, which freezes nothing, if none
  /// does.
  ///
  /// - Parameter freezing: whether freezing at each layer passes, never withdrawing, as far as it is
  ///   known.
  package static func freezeLayer(_ freezing: [Bool?]) -> Int {
    freezing.firstIndex(of: true) ?? freezing.count
  }

  /// Takes what was measured.
  package mutating func add(_ points: [FreezePoint: Bool]) {
    passes.merge(points) { _, new in new }
  }

  /// Takes the cheapest of what is known, asking for nothing more.
  package mutating func settle() {
    for freeze in 0..<layerCount { _ = nextEnds(freeze) }
  }

  private mutating func consider(_ point: FreezePoint) {
    if price(point) < price(best) { best = point }
  }

  /// What must be measured next; nil when `best` is the cheapest of all.
  package mutating func next() -> [ScheduleFork]? {
    func isWorthAsking(_ layer: Int) -> Bool { price(FreezePoint(layer, layer)) < price(best) }
    while current < layerCount, isWorthAsking(current) {
      if passes[FreezePoint(current, layerCount)] == nil {
        // All at once: they share the full pass.
        return (current..<layerCount).filter {
          isWorthAsking($0) && passes[FreezePoint($0, layerCount)] == nil
        }.map { ScheduleFork(freeze: $0, ends: [layerCount]) }
      }
      if let ends = nextEnds(current) { return [ScheduleFork(freeze: current, ends: ends)] }
      current += 1
    }
    return nil
  }

  /// The ends to measure for `freeze`; nil if none of them can be better.
  private mutating func nextEnds(_ freeze: Int) -> [Int]? {
    guard passes[FreezePoint(freeze, layerCount)] == true else { return nil }
    var sustained = layerCount
    while sustained > freeze, passes[FreezePoint(freeze, sustained - 1)] == true { sustained -= 1 }
    consider(FreezePoint(freeze, sustained))
    // The dearest of the ends that would be better.
    guard
      let dearest = (freeze..<max(freeze, sustained)).last(where: {
        price(FreezePoint(freeze, $0)) < price(best)
      }), (dearest..<sustained).allSatisfy({ passes[FreezePoint(freeze, $0)] != false })
    else { return nil }
    if dearest < sustained - 1 {
      guard passes[FreezePoint(freeze, dearest)] != nil else { return [dearest] }
      return (dearest..<sustained).filter { passes[FreezePoint(freeze, $0)] == nil }
    }
    let chunk = max(freeze, sustained - Self.endsPerRound)..<sustained
    return chunk.filter { passes[FreezePoint(freeze, $0)] == nil }
  }
}
