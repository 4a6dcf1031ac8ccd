import Statistics
import Testing

@Suite struct ArgmaxTests {
  @Test(
    arguments: [
      ([1], 0), ([1, 3, 2], 1), ([2, 5, 5, 5], 1), ([-3, -1, -2], 1), ([0, -0.0, 0], 0),
      ([-.infinity, -.infinity], 0), ([-.infinity, -9], 1), ([1, .infinity, .infinity], 1),
      ([.nan, 2, .nan, 3, .nan], 3), ([.nan, -.infinity], 1), ([7, .nan], 0),
    ] as [([Float], Int)])
  func findsTheFirstOfTheLargest(row: [Float], place: Int) {
    #expect(argmax(row.span) == place)
  }

  @Test(arguments: [[], [.nan], [.nan, .nan]] as [[Float]])
  func findsNothingInRowsWithoutNumbers(row: [Float]) {
    #expect(argmax(row.span) == nil)
  }
}
