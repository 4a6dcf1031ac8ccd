import Statistics
import TensorCore
import TestSupport
import Testing

/// Intervals of comparisons on the same questions against scipy and statsmodels:
/// `make_paired_intervals.py`.
@Suite struct PairedIntervalTests {
  let expected: JSONValue

  // The oracle's quantile; the functions' own default is 1.96.
  static let z = 1.959963984540054

  init() throws {
    expected = try JSONValue(
      parsing: try fileBytes(
        at: fixturePath("expected/paired-intervals.json"), limit: 1 << 20),
      file: "paired-intervals.json")
  }

  private func cases(_ name: String) throws -> [JSONValue] {
    let cases = try #require(expected[name]?.arrayValue)
    try #require(cases.count >= 4)
    return cases
  }

  private func numbers(_ value: JSONValue?) -> [Double] {
    (value?.arrayValue ?? []).compactMap(\.doubleValue)
  }

  private func expectInterval(
    _ found: ClosedRange<Double>?, _ expected: JSONValue, within tolerance: Double
  ) throws {
    let found = try #require(found)
    let bounds = numbers(expected["interval"])
    try #require(bounds.count == 2)
    #expect(abs(found.lowerBound - bounds[0]) <= tolerance, "\(found) of \(expected)")
    #expect(abs(found.upperBound - bounds[1]) <= tolerance, "\(found) of \(expected)")
  }

  @Test func newcombesIntervalOfPairedShares() throws {
    for expected in try cases("shares") {
      let table = numbers(expected["table"]).map { Int($0) }
      let shares = PairedShares(
        both: table[0], onlyThis: table[1], onlyReference: table[2], neither: table[3])
      try expectInterval(shares.differenceInterval(z: Self.z), expected, within: 1e-12)
    }
  }

  /// Taking the sides for each other turns the sign, and so does taking right for wrong.
  @Test func sidesAreAlike() throws {
    for expected in try cases("shares") {
      let table = numbers(expected["table"]).map { Int($0) }
      let one = PairedShares(
        both: table[0], onlyThis: table[1], onlyReference: table[2], neither: table[3])
      let turned = PairedShares(
        both: table[0], onlyThis: table[2], onlyReference: table[1], neither: table[3])
      let wrong = PairedShares(
        both: table[3], onlyThis: table[2], onlyReference: table[1], neither: table[0])
      let interval = try #require(one.differenceInterval())
      for other in [turned, wrong] {
        let found = try #require(other.differenceInterval())
        #expect(abs(-found.upperBound - interval.lowerBound) < 1e-12, "\(table)")
        #expect(abs(-found.lowerBound - interval.upperBound) < 1e-12, "\(table)")
      }
      #expect(interval.contains(try #require(one.difference)))
    }
  }

  @Test func countsPairs() {
    var shares = PairedShares()
    #expect(shares.difference == nil && shares.differenceInterval() == nil)
    for (this, reference) in [(true, true), (true, false), (true, false), (false, true)] {
      shares.add(this: this, reference: reference)
    }
    shares.add(this: false, reference: false)
    #expect(shares == PairedShares(both: 1, onlyThis: 2, onlyReference: 1, neither: 1))
    #expect(shares.thisCount == 3 && shares.referenceCount == 2 && shares.difference == 0.2)
  }

  @Test func meansOfDifferences() throws {
    for expected in try cases("differences") {
      let pairs = zip(numbers(expected["this"]), numbers(expected["full"]))
      // Student's quantile is tabulated to six decimals.
      try expectInterval(
        ratioInterval(of: pairs.map { (y: $0 - $1, x: 1) }), expected, within: 1e-4)
    }
  }

  @Test func ratiosOfSums() throws {
    for expected in try cases("ratios") {
      let pairs = Array(zip(numbers(expected["y"]), numbers(expected["x"])))
      let found = ratioInterval(of: pairs.map { (y: $0, x: $1) })
      try expectInterval(found, expected, within: 1e-5)
      #expect(ratioInterval(of: pairs.reversed().map { (y: $0, x: $1) }) == found)
    }
  }

  @Test func ratiosNeedTwoFinitePairsOverSomething() {
    #expect(ratioInterval(of: [(y: 1, x: 1)]) == nil)
    #expect(ratioInterval(of: [(y: 1, x: 1), (y: .nan, x: 1)]) == nil)
    #expect(ratioInterval(of: [(y: 1, x: 1), (y: 1, x: .infinity)]) == nil)
    #expect(ratioInterval(of: [(y: 1, x: 1), (y: 1, x: 0)]) == nil)
  }
}
