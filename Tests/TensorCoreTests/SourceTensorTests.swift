import TensorCore
import TestSupport
import Testing

@Suite struct SourceTensorTests {
  /// A tensor of `bytes` that begins `shift` bytes into its region.
  private func tensor(
    _ type: SourceType, _ shape: Shape, _ bytes: [UInt8], shift: Int = 0
  ) throws -> SourceTensor {
    let region = ByteRegion(copying: Array(repeating: 0xAA, count: shift) + bytes)
    return try #require(
      SourceTensor(
        name: "t", region: region, range: shift..<shift + bytes.count, type: type, shape: shape))
  }

  private static let everyHalf = (0..<65536).flatMap {
    [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)]
  }

  /// The value of a binary16 by its definition.
  private func binary16(_ bits: Int) -> Double {
    let sign: Double = bits >> 15 == 0 ? 1 : -1
    let fraction = Double(bits & 0x3FF) / 1024
    switch bits >> 10 & 31 {
    case 0: return sign * fraction * 0x1p-14
    case 31: return fraction == 0 ? sign * .infinity : .nan
    case let exponent:
      return sign * (1 + fraction) * Double(sign: .plus, exponent: exponent - 15, significand: 1)
    }
  }

  @Test(arguments: [0, 1, 3]) func convertsEveryHalf(shift: Int) throws {
    let values = try tensor(.f16, [65536], Self.everyHalf, shift: shift).values()
    for (bits, value) in values.enumerated() {
      let expected = binary16(bits)
      if expected.isNaN {
        #expect(value.isNaN, "\(bits)")
      } else {
        #expect(Double(value) == expected && (value.sign == .minus) == (bits >> 15 == 1), "\(bits)")
      }
    }
  }

  /// Few values at a time do not fill a vector, so this is the plain loop.
  @Test func convertsEveryHalfOneByOne() throws {
    let tensor = try tensor(.f16, [65536, 1], Self.everyHalf)
    var value: [Float] = []
    for bits in 0..<65536 {
      tensor.readRows(bits..<bits + 1, into: &value)
      let expected = binary16(bits)
      let isEqual =
        Double(value[0]) == expected && (value[0].sign == .minus) == (bits >> 15 == 1)
      #expect(expected.isNaN ? value[0].isNaN : isEqual, "\(bits)")
    }
  }

  @Test(arguments: [0, 1]) func convertsEveryBFloat16(shift: Int) throws {
    let values = try tensor(.bf16, [65536], Self.everyHalf, shift: shift).values()
    #expect(values.map(\.bitPattern) == (0..<65536).map { UInt32($0) << 16 })
  }

  @Test(arguments: [0, 1, 7, 8, 9, 31, 33]) func convertsAnyCount(_ count: Int) throws {
    let bytes = Array(Self.everyHalf[0x7800..<0x7800 + 2 * count])
    let values = try tensor(.f16, [count], bytes, shift: 1).values()
    #expect(values.map(Double.init) == (0..<count).map { binary16(0x3C00 + $0) })
  }

  @Test func readsSomeRows() throws {
    let floats = randomFloats(5 * 6, seed: 1)
    let bytes = floats.flatMap { value in
      (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
    }
    let matrix = try tensor(.f32, [5, 2, 3], bytes, shift: 1)
    #expect(matrix.rowCount == 5)
    #expect(matrix.columnCount == 6)
    var values: [Float] = [1, 2]
    matrix.readRows(1..<4, into: &values)
    #expect(values == Array(floats[6..<24]))
    matrix.readRows(5..<5, into: &values)
    #expect(values.isEmpty)
    #expect(matrix.reshaped(to: [6, 5])?.values() == floats)
    #expect(matrix.reshaped(to: [6, 6]) == nil)
  }

  @Test func putsInterleavedHeadsInOrder() throws {
    let floats = (0..<12 * 2).map(Float.init)
    let bytes = floats.flatMap { value in
      (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
    }
    let stored = try tensor(.f32, [12, 2], bytes)
    let heads = try #require(stored.interleaved(headSize: 6))
    // Rows 0, 2, 4 of a head are its first half, rows 1, 3, 5 its second.
    let order = [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
    #expect(heads.values() == order.flatMap { [floats[2 * $0], floats[2 * $0 + 1]] })
    var rows: [Float] = []
    heads.readRows(4..<8, into: &rows)
    #expect(rows == Array(heads.values()[8..<16]))
    #expect(heads.reshaped(to: [12, 1, 2])?.values() == heads.values())
    #expect(!heads.hasSameContent(as: stored))
    for size in [0, 5, 8, -2] { #expect(stored.interleaved(headSize: size) == nil) }
  }

  @Test func readsBlocksWithADecoder() throws {
    // A scale byte and two signed bytes to a block.
    let format = unsafe BlockFormat("T", elements: 2, bytes: 3) { values, blocks, count in
      for block in 0..<count {
        for place in 0..<2 {
          unsafe values[2 * block + place] =
            Float(blocks.load(fromByteOffset: 3 * block, as: UInt8.self))
            * Float(blocks.load(fromByteOffset: 3 * block + 1 + place, as: Int8.self))
        }
      }
    }
    let region = ByteRegion(copying: [2, 1, 0xFF, 10, 3, 4, 1, 5, 6, 0, 7, 8])
    func make(_ shape: Shape) -> SourceTensor? {
      SourceTensor(name: "t", region: region, range: 0..<12, format: format, shape: shape)
    }
    let tensor = try #require(make([2, 4]))
    #expect(tensor.values() == [2, -2, 30, 40, 5, 6, 0, 0])
    var row: [Float] = []
    tensor.readRows(1..<2, into: &row)
    #expect(row == [5, 6, 0, 0])
    // Rows are whole blocks.
    #expect(make([8, 1]) == nil)
    #expect(make([2, 5]) == nil)
  }

  @Test func readsAgainAfterDropping() throws {
    let folder = try TemporaryFolder()
    let floats = randomFloats(100 * 1000, seed: 2)
    var writer = SafetensorsWriter()
    writer.add("m", shape: [100, 1000], floats: floats)
    let path = folder.path("m.safetensors")
    try writer.write(to: path)
    let matrix = try #require(try SafetensorsFile(mapping: path).tensors["m"])
    var values: [Float] = []
    for _ in 0..<2 {
      for start in stride(from: 0, to: 100, by: 7) {
        let rows = start..<min(start + 7, 100)
        matrix.readRows(rows, into: &values)
        matrix.drop(rows)
        #expect(values == Array(floats[rows.lowerBound * 1000..<rows.upperBound * 1000]))
      }
    }
  }

  @Test func comparesContent() throws {
    let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    let tensor = try tensor(.f32, [2], bytes)
    #expect(tensor.hasSameContent(as: try self.tensor(.f32, [2], bytes, shift: 3)))
    #expect(!tensor.hasSameContent(as: try self.tensor(.f32, [2, 1], bytes)))
    #expect(!tensor.hasSameContent(as: try self.tensor(.i32, [2], bytes)))
    #expect(!tensor.hasSameContent(as: try self.tensor(.f32, [2], corrupting(bytes, at: 7))))
  }

  @Test func refusesRangesThatDoNotFit() {
    let region = ByteRegion(copying: [0, 0, 0, 0])
    func make(_ range: Range<Int>, _ shape: Shape) -> SourceTensor? {
      SourceTensor(name: "t", region: region, range: range, type: .f16, shape: shape)
    }
    #expect(make(0..<4, [2]) != nil)
    #expect(make(0..<4, [3]) == nil)
    #expect(make(2..<6, [2]) == nil)
    #expect(make(-2..<2, [2]) == nil)
    #expect(make(0..<4, [-2]) == nil)
    #expect(make(0..<0, [0, .max, .max]) == nil)
  }
}
