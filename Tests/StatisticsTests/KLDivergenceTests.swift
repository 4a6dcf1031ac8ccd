import Glibc
import Statistics
import TestSupport
import Testing

@Suite struct KLDivergenceTests {
  /// KL(P‖Q) as its definition says, from probabilities.
  private func definition(_ p: [Double], _ q: [Double]) -> Double {
    zip(p, q).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
  }

  @Test func matchesTheDefinitionForKnownDistributions() {
    let p = [0.5, 0.25, 0.25]
    let q = [0.25, 0.25, 0.5]
    let found = klDivergence(p.map { Float(log($0)) }.span, from: q.map { Float(log($0)) }.span)
    // Logits are f32: ln 2 is off by up to 3e-8.
    #expect((found - definition(p, q)).magnitude < 1e-7)
    #expect((definition(p, q) - 0.25 * log(2)).magnitude < 1e-15)
  }

  @Test(arguments: [1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 1000])
  func matchesTheDefinitionForRowsOfEveryLength(count: Int) {
    let p = randomFloats(count, scale: 20, seed: UInt64(count))
    let q = zip(p, randomFloats(count, seed: 0)).map { $0 + $1 }
    let (pTotal, qTotal) = (
      p.reduce(0) { $0 + exp(Double($1)) }, q.reduce(0) { $0 + exp(Double($1)) }
    )
    let expected = definition(
      p.map { exp(Double($0)) / pTotal }, q.map { exp(Double($0)) / qTotal })
    #expect((klDivergence(p.span, from: q.span) - expected).magnitude < 1e-13)
  }

  @Test func isNotSymmetric() {
    let p: [Float] = [3, 0, 0]
    let q: [Float] = [0, 0, 0]
    let forward = klDivergence(p.span, from: q.span)
    let backward = klDivergence(q.span, from: p.span)
    // e³ / (e³ + 2) on the first token.
    let first = exp(3.0) / (exp(3.0) + 2)
    let rest = (1 - first) / 2
    let third = 1.0 / 3
    #expect((forward - definition([first, rest, rest], [third, third, third])).magnitude < 1e-14)
    #expect((backward - definition([third, third, third], [first, rest, rest])).magnitude < 1e-14)
    #expect(forward != backward)
  }

  @Test func ofARowWithItselfIsExactlyZero() {
    let row = randomFloats(1001, scale: 30, seed: 1)
    #expect(klDivergence(row.span, from: row.span) == 0)
  }

  @Test func doesNotSeeAConstantAddedToARow() {
    let p: [Float] = [1, 2, 3, -4]
    let shifted = p.map { $0 + 64 }
    #expect(klDivergence(p.span, from: shifted.span) < 1e-14)
  }

  @Test func isNeverNegativeForRowsThatDifferByRounding() {
    for count in [1, 7, 8, 9, 31, 33, 999] {
      let p = (0..<count).map { Float($0 * 37 % 101) / 8 }
      let q = p.map { $0.nextUp }
      #expect(klDivergence(p.span, from: q.span) >= 0)
      #expect(klDivergence(p.span, from: q.span) < 1e-10)
    }
  }

  @Test func survivesLogitsWhoseExponentialsOverflow() {
    let p: [Float] = [3e4, -3e4]
    let q: [Float] = [-3e4, 3e4]
    #expect(klDivergence(p.span, from: q.span) == 6e4)
    let large: [Float] = [.greatestFiniteMagnitude, -.greatestFiniteMagnitude]
    #expect(klDivergence(large.span, from: large.span) == 0)
  }

  @Test func treatsMinusInfinityAsImpossible() {
    let both: [Float] = [0, -.infinity, 0]
    let plain: [Float] = [0, 0]
    #expect(klDivergence(both.span, from: both.span) == 0)
    // P = (1/2, 0, 1/2) against Q = (1/3, 1/3, 1/3).
    let uniform: [Float] = [0, 0, 0]
    #expect((klDivergence(both.span, from: uniform.span) - log(1.5)).magnitude < 1e-15)
    #expect(klDivergence(uniform.span, from: both.span) == .infinity)
    #expect(klDivergence(plain.span, from: plain.span) == 0)
  }

  @Test(
    arguments: [
      [], [.nan, 1], [.infinity, 1], [-.infinity, -.infinity],
    ] as [[Float]])
  func isNaNForRowsThatAreNoDistribution(row: [Float]) {
    let fine = [Float](repeating: 0, count: row.count)
    #expect(klDivergence(row.span, from: fine.span).isNaN)
    #expect(klDivergence(fine.span, from: row.span).isNaN)
  }
}
