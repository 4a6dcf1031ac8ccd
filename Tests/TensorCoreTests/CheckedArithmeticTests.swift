import TensorCore
import Testing

@Suite struct CheckedArithmeticTests {
  @Test(
    arguments: [
      ([], 1), ([7], 7), ([3, 4, 5], 60), ([0, .max, .max], 0), ([.max, 1], .max),
      ([.max, 2], nil), ([1 << 32, 1 << 32], nil), ([1 << 31, 1 << 31], 1 << 62),
      ([-1], nil), ([-1, -1], nil), ([5, -2], nil), ([.min, .min], nil), ([0, -1], nil),
    ] as [([Int], Int?)])
  func multipliesOrGivesUp(factors: [Int], product: Int?) {
    #expect(checkedProduct(factors) == product)
  }

  @Test func addsOrGivesUp() {
    #expect(checkedSum(3, 4) == 7)
    #expect(checkedSum(.max, 0) == .max)
    #expect(checkedSum(.max, 1) == nil)
  }

  @Test(
    arguments: [
      (0, 32, 0), (1, 32, 32), (31, 32, 32), (32, 32, 32), (33, 32, 64), (5, 1, 5),
      (.max, 1, .max), (.max, 2, nil), (.max - 63, 64, .max - 63), (.max - 62, 64, nil),
    ] as [(Int, Int, Int?)])
  func roundsUpOrGivesUp(value: Int, alignment: Int, result: Int?) {
    #expect(roundedUp(value, to: alignment) == result)
  }
}
