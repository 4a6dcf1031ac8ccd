import TensorCore
import Testing

@Suite struct SplitMix64Tests {
  @Test func givesTheNumbersOfTheReference() {
    // By the authors' C code with the seed 1234567.
    var random = SplitMix64(seed: 1_234_567)
    #expect(
      (0..<5).map { _ in random.next() } == [
        6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
        4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
      ])
  }

  @Test func givesEveryNumberBelowABoundAboutAsOften() {
    var random = SplitMix64(seed: 1)
    for bound in [1, 2, 3, 7, 10] {
      var counts = Array(repeating: 0, count: bound)
      for _ in 0..<1000 * bound { counts[random.next(below: bound)] += 1 }
      // Six standard deviations of a count of 1000.
      #expect(counts.allSatisfy { (810...1190).contains($0) || bound == 1 }, "\(counts)")
    }
  }

  @Test func givesBoundsThatAreNoPowerOfTwoWithoutFavour() {
    // 3 · 2⁶¹: a plain remainder would give the lower third twice as often as the others.
    var random = SplitMix64(seed: 5)
    let third = 1 << 61
    let low = (0..<3000).count { _ in random.next(below: 3 * third) < third }
    #expect((840...1160).contains(low))
  }

  @Test func givesUnitsInRange() {
    var random = SplitMix64(seed: 2)
    let units = (0..<10_000).map { _ in random.nextUnit() }
    #expect(units.allSatisfy { $0 >= 0 && $0 < 1 })
    #expect((units.reduce(0, +) / 10_000 - 0.5).magnitude < 0.02)
  }

  @Test func shufflesWithoutLoss() {
    var random = SplitMix64(seed: 3)
    let items = Array(0..<100)
    let shuffled = random.shuffled(items)
    #expect(shuffled != items)
    #expect(shuffled.sorted() == items)
    #expect(random.shuffled([Int]()).isEmpty)
    #expect(random.shuffled([4]) == [4])
  }
}
