import Statistics
import Testing

@Suite struct WilsonIntervalTests {
  // The roots of (share - p)² = z² p (1 - p) / n in 40-digit decimals, z for 95 %.
  @Test(arguments: [
    (0, 10, 0.0, 0.277_532_799_862_889), (10, 10, 0.722_467_200_137_111, 1.0),
    (5, 10, 0.236_593_090_512_564, 0.763_406_909_487_436),
    (98, 100, 0.929_988_209_271_456, 0.994_498_032_449_838),
    (1, 3, 0.061_491_944_720_396, 0.792_340_399_197_952),
  ])
  func matchesKnownValues(successes: Int, trials: Int, low: Double, high: Double) {
    let found = wilsonInterval(successes: successes, trials: trials, z: 1.959963984540054)
    #expect((found.lowerBound - low).magnitude < 1e-14)
    #expect((found.upperBound - high).magnitude < 1e-14)
  }

  @Test func saysNothingWithoutTrials() {
    #expect(wilsonInterval(successes: 0, trials: 0) == 0...1)
  }

  @Test func holdsTheShareAndNarrowsWithTrials() {
    var width = 1.0
    for trials in [8, 80, 800, 8000] {
      let interval = wilsonInterval(successes: trials / 4, trials: trials)
      #expect(interval.contains(0.25))
      #expect(interval.upperBound - interval.lowerBound < width)
      width = interval.upperBound - interval.lowerBound
    }
  }
}
