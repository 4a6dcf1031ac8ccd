import TensorCore
import Testing

@Suite struct ShapeTests {
  @Test func countsItsElements() {
    #expect(([2, 3, 4] as Shape).elementCount == 24)
    #expect(([] as Shape).elementCount == 1)
    #expect(([5, 0] as Shape).elementCount == 0)
    #expect(Shape([.max, 2]).elementCount == nil)
    #expect(([2, -3] as Shape).elementCount == nil)
  }

  @Test func showsItselfAsUsersWriteIt() {
    #expect("\(Shape([1024, 3, 14, 14]))" == "[1024, 3, 14, 14]")
    #expect("\(Shape([]))" == "[]")
    #expect(([4, 5] as Shape).rank == 2)
  }
}
