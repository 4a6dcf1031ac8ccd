import TensorCore
import Testing

@Suite struct TextTests {
  @Test(arguments: [
    (0, 0, "0"), (0.5, 0, "1"), (2.4, 0, "2"), (3.14159, 2, "3.14"), (0.005, 1, "0.0"),
    (0.05, 1, "0.1"), (-0.001, 2, "0.00"), (-1.255, 1, "-1.3"), (99.96, 1, "100.0"),
    (0.003, 5, "0.00300"), (1e12, 2, "1000000000000.00"),
    // Too many digits for an Int, and no digits at all.
    (1e15, 5, "1000000000000000.0"), (-9e14, 9, "-900000000000000.0"), (1e300, 2, "1e+300"),
    (.infinity, 2, "inf"), (-.infinity, 0, "-inf"), (.nan, 1, "nan"),
  ])
  func writesAFixedNumberOfDecimals(value: Double, places: Int, text: String) {
    #expect(fixed(value, places) == text)
  }
}
