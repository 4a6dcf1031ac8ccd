import Statistics
import Testing

@Suite struct MeanIntervalTests {
  /// scipy.stats.t.ppf(0.975, n)
  @Test(arguments: [
    (1, 12.706205), (2, 4.302653), (30, 2.042272), (31, 2.039513), (40, 2.021075),
    (100, 1.983972), (100_000, 1.959988),
  ])
  func quantilesOfStudent(degrees: Int, expected: Double) {
    #expect(abs(studentQuantile(degreesOfFreedom: degrees) - expected) < 1e-5)
  }

  /// By hand: means 1 and 3 of one value each, R = 2, variance 1, t = 12.706.
  @Test func twoSamples() throws {
    let interval = try #require(
      meanInterval(of: [SampleSum(sum: 3, count: 1), SampleSum(sum: 1, count: 1)]))
    #expect(interval.lowerBound == 0)
    #expect(abs(interval.upperBound - 14.706205) < 1e-5)
  }

  @Test func equalSamplesLeaveNoDoubt() throws {
    let interval = try #require(
      meanInterval(of: Array(repeating: SampleSum(sum: 2, count: 4), count: 9)))
    #expect(interval == 0.5...0.5)
  }

  @Test func oneSampleOrAnInfiniteOneSaysNothing() {
    #expect(meanInterval(of: []) == nil)
    #expect(meanInterval(of: [SampleSum(sum: 1, count: 1)]) == nil)
    #expect(
      meanInterval(of: [SampleSum(sum: .infinity, count: 1), SampleSum(sum: 1, count: 1)]) == nil)
  }

  @Test func orderChangesNoBit() {
    let samples = (1...50).map { SampleSum(sum: 1 / Double($0 * $0), count: 1 + $0 % 7) }
    #expect(meanInterval(of: samples) == meanInterval(of: samples.reversed()))
  }
}
