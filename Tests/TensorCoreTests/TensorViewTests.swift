import TensorCore
import Testing

@Suite struct TensorViewTests {
  private let region = ByteRegion(copying: (0..<2048).map { UInt8(truncatingIfNeeded: $0) })

  @Test func joinsInnerExtentsToColumns() throws {
    let view = try #require(
      TensorView(region, offset: 8, shape: [4, 3, 2, 5], encoding: .f32))
    #expect(view.rows == 4)
    #expect(view.columns == 30)
    #expect(view.byteRange == 8..<8 + 480)
    #expect(view.shape == [4, 3, 2, 5])
    let vector = try #require(TensorView(region, offset: 0, shape: [7], encoding: .f32))
    #expect(vector.rows == 7)
    #expect(vector.columns == 1)
  }

  @Test func givesItsFloats() throws {
    var writer = ByteWriter()
    for value in [0.0, 1.5, -2.25, 3e7] as [Float] { writer.float(value) }
    let region = ByteRegion(copying: writer.bytes)
    let view = try #require(TensorView(region, offset: 4, shape: [3], encoding: .f32))
    let floats = view.floats
    #expect(floats.count == 3)
    #expect(floats.indices.map { floats[$0] } == [1.5, -2.25, 3e7])
  }

  @Test func takesTilesUpToTheLastByte() {
    #expect(
      TensorView(region, offset: 960, shape: [32, 32], encoding: .q8)?.byteRange == 960..<2048)
    #expect(TensorView(region, offset: 0, shape: [512], encoding: .f32)?.byteRange == 0..<2048)
    #expect(TensorView(region, offset: 2048, shape: [0], encoding: .f32)?.byteRange.isEmpty == true)
  }

  @Test(
    arguments: [
      // Past the end, by one tile or one number.
      (1024, [32, 32], .q8), (0, [513], .f32), (4, [512], .f32), (1984, [33, 1], .f16),
      // Not aligned.
      (2, [1], .f32), (4, [1], .f16), (32, [1, 1], .q8), (63, [1], .bf16),
      // Outside, or not a shape.
      (-4, [1], .f32), (-64, [1], .q8), (2112, [1], .q8), (.max - 3, [1], .f32),
      (0, [], .f32), (0, [-1], .f32), (0, [2, -1], .f32), (0, [.max, .max], .f32),
      (0, [1, .max, 2], .q8), (0, [1 << 62], .f32),
    ] as [(Int, [Int], Encoding)])
  func refusesWhatDoesNotFit(offset: Int, shape: [Int], encoding: Encoding) {
    #expect(TensorView(region, offset: offset, shape: Shape(shape), encoding: encoding) == nil)
  }

  @Test func keepsItsRegionAlive() throws {
    var view: TensorView?
    do {
      let region = ByteRegion(copying: [0, 0, 0x80, 0x3F])
      view = TensorView(region, offset: 0, shape: [1], encoding: .f32)
    }
    let kept = try #require(view)
    #expect(kept.floats[0] == 1)
  }
}
