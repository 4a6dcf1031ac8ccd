import Kernels
import TensorCore
import Testing

@Suite struct TilePackerTests {
  @Test func f16TileHoldsOneColumnOf32Rows() throws {
    let values = (0..<40 * 3).map { Float($0) }
    let bytes = try TilePacker.pack(values, columns: 3, encoding: .f16)
    #expect(bytes.count == 2 * 3 * 64)
    func stored(_ row: Int, _ column: Int) -> UInt16 {
      let at = (row / 32 * 3 + column) * 64 + 2 * (row % 32)
      return UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8
    }
    #expect(stored(0, 1) == 0x3C00)  // 1
    #expect(stored(1, 0) == 0x4200)  // 3
    #expect(stored(39, 2) == 0x5770)  // 119
    #expect(stored(40, 0) == 0 && stored(63, 2) == 0)
  }

  @Test func bf16TileHoldsPairsOfColumns() throws {
    let values = (0..<33 * 3).map { Float($0) }
    let bytes = try TilePacker.pack(values, columns: 3, encoding: .bf16)
    #expect(bytes.count == 2 * 2 * 128)
    func stored(_ row: Int, _ column: Int) -> UInt16 {
      let at = (row / 32 * 2 + column / 2) * 128 + 4 * (row % 32) + 2 * (column % 2)
      return UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8
    }
    #expect(stored(0, 1) == 0x3F80)  // 1
    #expect(stored(1, 1) == 0x4080)  // 4
    #expect(stored(32, 2) == 0x42C4)  // 98
    #expect(stored(0, 3) == 0 && stored(33, 0) == 0)
  }

  @Test func q8TileHoldsScalesThenRunsOfFourColumns() throws {
    var values = [Float](repeating: 0, count: 2 * 33)
    values[0] = 127
    values[5] = -3
    values[33 + 32] = 254
    let bytes = try TilePacker.pack(values, columns: 33, encoding: .q8)
    #expect(bytes.count == 2 * 1088)
    #expect(bytes[0] == 0x00 && bytes[1] == 0x3C)  // row 0, columns 0..<32: scale 1
    #expect(bytes[2] == 0 && bytes[3] == 0)  // row 1: nothing there
    #expect(bytes[1088 + 2] == 0x00 && bytes[1088 + 3] == 0x40)  // row 1, column 32: scale 2
    #expect(bytes[64 + 0] == 255)
    #expect(bytes[64 + 128 * 1 + 1] == 125)
    #expect(bytes[1088 + 64 + 4] == 255)
    #expect(bytes[64 + 4 * 31 + 3] == 128)  // padding
  }

  @Test(arguments: Encoding.allCases)
  func decodingIsWithinTheErrorBound(encoding: Encoding) throws {
    var noise = Noise(seed: 8)
    for (count, columns) in [(1, 1), (31, 33), (33, 64), (70, 95)] {
      let values = noise.values(count * columns, scale: 0.04)
      let view = try tensor(values, [count, columns], encoding)
      let back = TilePacker.unpack(view, rows: 0..<count)
      for index in values.indices {
        let group = index / columns * columns + index % columns / 32 * 32
        let end = min(group + 32, (index / columns + 1) * columns)
        let largest = values[group..<end].reduce(Float(0)) { max($0, abs($1)) }
        let bound: Float =
          switch encoding {
          case .f32: 0
          case .f16: abs(values[index]) * 0x1p-11 + 0x1p-25
          case .bf16: abs(values[index]) * 0x1p-8
          case .q8: largest / 127
          }
        #expect(abs(back[index] - values[index]) <= bound)
      }
      #expect(TilePacker.unpack(view, rows: count - 1..<count) == Array(back.suffix(columns)))
    }
  }

  @Test(arguments: [Float(1), 0.02, 1e-4, 1000])
  func q8GroupsAreWithinTheirErrorBound(size: Float) throws {
    var noise = Noise(seed: 16)
    for _ in 0..<200 {
      let values = noise.values(32, scale: size * noise.value())
      let back = TilePacker.unpack(try tensor(values, [1, 32], .q8), rows: 0..<1)
      let largest = values.reduce(0) { max($0, Double(abs($1))) }
      let squares = values.indices.reduce(0.0) {
        $0 + Double(back[$1] - values[$1]) * Double(back[$1] - values[$1])
      }
      #expect((squares / 32).squareRoot() <= largest / 226 + 4e-6)
    }
  }

  @Test func q8SearchBeatsThePlainRule() throws {
    var noise = Noise(seed: 9)
    let values = noise.values(64 * 1024, scale: 0.02)
    let back = TilePacker.unpack(try tensor(values, [64, 1024], .q8), rows: 0..<64)
    var searched = 0.0, plain = 0.0
    for start in stride(from: 0, to: values.count, by: 32) {
      let group = values[start..<start + 32]
      let scale = group.reduce(Float(0)) { max($0, abs($1)) } / 127
      for (index, value) in group.enumerated() {
        let rule = (value / scale).rounded(.toNearestOrEven) * scale
        plain += Double((value - rule) * (value - rule))
        let difference = value - back[start + index]
        searched += Double(difference * difference)
      }
    }
    #expect(searched < plain)
  }

  @Test(arguments: Encoding.allCases, [Float.nan, .infinity, -.infinity])
  func nonFiniteValuesAreNamed(encoding: Encoding, bad: Float) throws {
    var values = [Float](repeating: 0.5, count: 70 * 40)
    values[65 * 40 + 7] = bad
    for compute in [nil, Compute(threads: 2)] {
      let error = #expect(throws: UnpackableValue.self) {
        try TilePacker.pack(values, columns: 40, encoding: encoding, on: compute)
      }
      #expect(error?.row == 65 && error?.column == 7)
      #expect(error?.value.bitPattern == bad.bitPattern)
    }
  }

  @Test func valuesBeyondAnEncodingAreNamed() throws {
    #expect(throws: UnpackableValue(row: 1, column: 0, value: 65520)) {
      try TilePacker.pack([1, 65519, 65520, 1], columns: 2, encoding: .f16)
    }
    #expect(throws: UnpackableValue(row: 0, column: 1, value: .greatestFiniteMagnitude)) {
      try TilePacker.pack([1, .greatestFiniteMagnitude], columns: 2, encoding: .bf16)
    }
    #expect(throws: UnpackableValue(row: 0, column: 1, value: -1e7)) {
      try TilePacker.pack([1, -1e7], columns: 2, encoding: .q8)
    }
  }

  @Test(arguments: [Float.leastNonzeroMagnitude, 1e-30, 1e-9, 1e-4, 1, 8.3e6])
  func q8ScalesStayFinite(size: Float) throws {
    let values = (0..<32).map { size * (Float($0) - 15) / 16 }
    let back = TilePacker.unpack(try tensor(values, [1, 32], .q8), rows: 0..<1)
    #expect(back.allSatisfy { $0.isFinite })
    for index in values.indices where size > 1e-6 {
      #expect(abs(back[index] - values[index]) <= size / 50)
    }
  }

  @Test func widensEveryHalfAtAnyAlignment() throws {
    var bytes: [UInt8] = [0]
    for pattern in UInt16.min...UInt16.max {
      bytes.append(UInt8(truncatingIfNeeded: pattern))
      bytes.append(UInt8(pattern >> 8))
    }
    var f16 = [Float](repeating: 0, count: 65536), bf16 = f16
    var span = f16.mutableSpan
    unsafe TilePacker.widen(bytes.span.bytes.extracting(1...), from: .f16, into: &span)
    var other = bf16.mutableSpan
    unsafe TilePacker.widen(bytes.span.bytes.extracting(1...), from: .bf16, into: &other)
    for pattern in UInt16.min...UInt16.max {
      let sign: Float = pattern & 0x8000 == 0 ? 1 : -1
      let exponent = Int(pattern >> 10 & 31), fraction = Float(pattern & 1023)
      let value: Float =
        switch exponent {
        case 0: sign * fraction * 0x1p-24
        case 31: fraction == 0 ? sign * .infinity : .nan
        default:
          sign * (1024 + fraction) * 0x1p-25
            * Float(sign: .plus, exponent: exponent, significand: 1)
        }
      let found = f16[Int(pattern)]
      #expect(value.isNaN ? found.isNaN : found.bitPattern == value.bitPattern)
      #expect(bf16[Int(pattern)].bitPattern == UInt32(pattern) << 16)
    }
  }

  @Test func parallelPackingGivesTheSameBytes() throws {
    var noise = Noise(seed: 10)
    let values = noise.values(300 * 70)
    let compute = Compute(threads: 2)
    for encoding in Encoding.allCases {
      #expect(
        try TilePacker.pack(values, columns: 70, encoding: encoding)
          == TilePacker.pack(values, columns: 70, encoding: encoding, on: compute))
    }
  }
}
