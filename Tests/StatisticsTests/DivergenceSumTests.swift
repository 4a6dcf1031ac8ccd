import Statistics
import TestSupport
import Testing

@Suite struct DivergenceSumTests {
  private func sum(_ samples: [(kl: Double, agrees: Bool)]) -> DivergenceSum {
    var sum = DivergenceSum()
    for sample in samples { sum.add(kl: sample.kl, agrees: sample.agrees) }
    return sum
  }

  /// Values over thirteen orders of magnitude, so that a sum of doubles would depend on the order.
  private func samples(_ count: Int) -> [(kl: Double, agrees: Bool)] {
    (0..<count).map { index in
      let scale = [1e-9, 1e-3, 1, 1e4][index % 4]
      return (Double(index * 7919 % 1009) / 1009 * scale, index % 3 != 0)
    }
  }

  @Test func givesTheSameBitsInEveryOrderAndSplit() throws {
    let samples = samples(1001)
    let whole = sum(samples)
    let reversed = sum(samples.reversed())
    var merged = DivergenceSum()
    for start in stride(from: 0, to: samples.count, by: 97).reversed() {
      merged.merge(sum(Array(samples[start..<min(start + 97, samples.count)])))
    }
    for other in [reversed, merged] {
      #expect(other == whole)
      #expect(other.ticks == whole.ticks)
      #expect(other.meanDivergence?.bitPattern == whole.meanDivergence?.bitPattern)
      #expect(other.maxDivergence == whole.maxDivergence)
      #expect(other.divergence(percentile: 95) == whole.divergence(percentile: 95))
      #expect(other.agreement == whole.agreement)
      #expect(other.count == 1001)
    }
  }

  @Test func reportsMeanMaximumPercentilesAndAgreement() {
    let found = sum((1...20).map { (Double($0) / 4, $0 <= 15) })
    #expect(found.meanDivergence == 2.625)
    #expect(found.maxDivergence == 5)
    #expect(found.divergence(percentile: 95) == 4.75)
    #expect(found.divergence(percentile: 96) == 5)
    #expect(found.divergence(percentile: 100) == 5)
    #expect(found.divergence(percentile: 50) == 2.5)
    #expect(found.divergence(percentile: 1) == 0.25)
    #expect(found.agreement == 0.75)
    #expect(found.agreementInterval == wilsonInterval(successes: 15, trials: 20))
  }

  @Test func roundsEachValueToTheNearestTick() {
    for kl in [0.003, 1e-4, 1e-6, 0.1 + 0.2] {
      let found = sum([(kl, true)])
      #expect(((found.meanDivergence ?? -1) - kl).magnitude <= DivergenceSum.tick / 2)
    }
  }

  @Test func countsWhatIsNotANumberAsTheWorst() {
    for kl in [Double.nan, .infinity, 1e30, 0x1p24] {
      #expect(sum([(kl, false)]).ticks == [.max])
    }
    #expect(sum([(0x1p24 - 1, false)]).maxDivergence == 0x1p24 - 1)
    // Two of the worst do not wrap around.
    #expect(sum([(.nan, false), (.infinity, false)]).meanDivergence == 0x1p24)
    #expect(sum([(-1e-17, true), (-.infinity, true), (-0.0, true)]).ticks == [0, 0, 0])
  }

  @Test func hasNoStatisticsWithoutSamples() {
    let empty = DivergenceSum()
    #expect(empty.count == 0)
    #expect(empty.meanDivergence == nil)
    #expect(empty.maxDivergence == nil)
    #expect(empty.divergence(percentile: 95) == nil)
    #expect(empty.agreement == nil)
    #expect(empty.agreementInterval == 0...1)
  }

  /// What a file of statistics keeps gives the same sum again.
  @Test func ticksReadBackAsThemselves() {
    for kl in [0, 1e-13, 4.6e-13, 1e-6, 0.01, 3.7, 12_345.678, 0x1p23, 0x1p24, .infinity, .nan] {
      let ticks = DivergenceSum.ticks(of: kl)
      #expect(DivergenceSum.ticks(of: Double(ticks) * DivergenceSum.tick) == ticks, "\(kl)")
    }
  }
}
