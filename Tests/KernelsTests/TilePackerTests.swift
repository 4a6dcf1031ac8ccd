import Kernels
import TensorCore
import Testing

@Suite struct TilePackerTests {
  @Test func f16TileHoldsOneColumnOf32Rows() throws {
    let values = (0..<40 * 3).map { Float($0) }
    let bytes = try TilePacker.pack(values, columns: 3, encoding: .f16).bytes
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
    let bytes = try TilePacker.pack(values, columns: 3, encoding: .bf16).bytes
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
    let bytes = try TilePacker.pack(values, columns: 33, encoding: .q8).bytes
    #expect(bytes.count == 2 * 1088)
    #expect(bytes[0] == 0x00 && bytes[1] == 0x3C)  // row 0, columns 0..<32: scale 1
    #expect(bytes[2] == 0 && bytes[3] == 0)  // row 1: nothing there
    #expect(bytes[1088 + 2] == 0x00 && bytes[1088 + 3] == 0x40)  // row 1, column 32: scale 2
    #expect(bytes[64 + 0] == 255)
    #expect(bytes[64 + 128 * 1 + 1] == 125)
    #expect(bytes[1088 + 64 + 4] == 255)
    #expect(bytes[64 + 4 * 31 + 3] == 128)  // padding
  }

  @Test func q4TileHoldsTwoRowsPerByte() throws {
    var values = [Float](repeating: 0, count: 17 * 3)
    values.replaceSubrange(0..<3, with: [7, -3, 0])
    values[16 * 3 + 1] = 16
    let bytes = try TilePacker.pack(values, columns: 3, encoding: .q4).bytes
    #expect(bytes.count == 576)
    // Row 0 has d = 1 or -1 and row 16 a multiple of its integer; decode by the page's formula.
    func decoded(_ row: Int, _ column: Int) -> Float {
      let scale = Float(
        Float16(bitPattern: UInt16(bytes[2 * row]) | UInt16(bytes[2 * row + 1]) << 8))
      let byte = bytes[64 + 64 * (column / 4) + 4 * (row % 16) + column % 4]
      return scale * Float(Int(row < 16 ? byte & 15 : byte >> 4) - 8)
    }
    for row in 0..<17 {
      for column in 0..<3 {
        let value = values[row * 3 + column]
        #expect(abs(decoded(row, column) - value) <= 0.001 * abs(value))
      }
    }
    #expect(bytes[2..<32].allSatisfy { $0 == 0 } && bytes[34..<64].allSatisfy { $0 == 0 })
    #expect(bytes[66] == 0x88 && bytes[67...].allSatisfy { $0 == 0x88 })
  }

  @Test func theExampleOfTheFormatPageDecodes() throws {
    var bytes = [UInt8](repeating: 0, count: 64) + [UInt8](repeating: 0x88, count: 512)
    bytes.replaceSubrange(0..<2, with: [0x00, 0x3C])
    bytes.replaceSubrange(32..<34, with: [0x00, 0xC0])
    bytes.replaceSubrange(64..<67, with: [0x8F, 0x05, 0x88])
    let view = try #require(
      TensorView(ByteRegion(copying: bytes), offset: 0, shape: [17, 3], encoding: .q4))
    #expect(TilePacker.unpack(view, rows: 0..<1) == [7, -3, 0])
    #expect(TilePacker.unpack(view, rows: 1..<16).allSatisfy { $0 == 0 })
    #expect(TilePacker.unpack(view, rows: 16..<17) == [0, 16, 0])
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
          case .q4: largest * 0.51
          case .q4a: largest * 0.3
          case .q5a: largest * 0.15
          case .q6: largest * 0.06
          }
        #expect(abs(back[index] - values[index]) <= bound)
      }
      #expect(TilePacker.unpack(view, rows: count - 1..<count) == Array(back.suffix(columns)))
    }
  }

  @Test(
    arguments: [(Encoding.q8, 226.0), (.q4, 13), (.q4a, 15), (.q5a, 30), (.q6, 60)],
    [Float(1), 0.02, 1e-4, 1000])
  func groupsAreWithinTheirErrorBound(bound: (encoding: Encoding, parts: Double), size: Float)
    throws
  {
    var noise = Noise(seed: 16)
    for _ in 0..<200 {
      let values = noise.values(32, scale: size * noise.value())
      let back = TilePacker.unpack(try tensor(values, [1, 32], bound.encoding), rows: 0..<1)
      let largest = values.reduce(0) { max($0, Double(abs($1))) }
      let squares = values.indices.reduce(0.0) {
        $0 + Double(back[$1] - values[$1]) * Double(back[$1] - values[$1])
      }
      #expect((squares / 32).squareRoot() <= largest / bound.parts + 4e-6)
    }
  }

  /// Sum over groups of 32 of `weights` (by column) times the squared error of `back`.
  private func squaredError(
    _ values: [Float], _ back: [Float], columns: Int, weights: [Float]? = nil
  ) -> Double {
    values.indices.reduce(0.0) {
      let difference = Double(values[$1] - back[$1])
      return $0 + difference * difference * Double(weights?[$1 % columns] ?? 1)
    }
  }

  @Test func q8SearchBeatsThePlainRule() throws {
    var noise = Noise(seed: 9)
    let values = noise.values(64 * 1024, scale: 0.02)
    let back = TilePacker.unpack(try tensor(values, [64, 1024], .q8), rows: 0..<64)
    var plain: [Float] = []
    for start in stride(from: 0, to: values.count, by: 32) {
      let group = values[start..<start + 32]
      let scale = group.reduce(Float(0)) { max($0, abs($1)) } / 127
      plain += group.map { ($0 / scale).rounded(.toNearestOrEven) * scale }
    }
    #expect(
      squaredError(values, back, columns: 1024) < squaredError(values, plain, columns: 1024))
  }

  /// The rule of Q4_0: the extreme value becomes -8.
  @Test func q4SearchBeatsThePlainRule() throws {
    var noise = Noise(seed: 17)
    // Sums of six uniform values are nearly Gaussian.
    let values = (0..<64 * 1024).map { _ in noise.values(6).reduce(0, +) }
    let back = TilePacker.unpack(try tensor(values, [64, 1024], .q4), rows: 0..<64)
    var plain: [Float] = []
    for start in stride(from: 0, to: values.count, by: 32) {
      let group = values[start..<start + 32]
      let extreme = group.max { abs($0) < abs($1) } ?? 0
      let scale = Float(Float16(extreme / -8))
      plain += group.map { min(max(($0 / scale).rounded(), -8), 7) * scale }
    }
    let searched = squaredError(values, back, columns: 1024)
    #expect(searched < 0.9 * squaredError(values, plain, columns: 1024))
    let power = squaredError(values, [Float](repeating: 0, count: values.count), columns: 1024)
    #expect((searched / power).squareRoot() < 0.082)
  }

  /// The rule of Q4_1: smallest and largest value become 0 and 15, or 31.
  @Test(arguments: [(Encoding.q4a, Float(15), 0.072), (.q5a, 31, 0.035)])
  func affineSearchBeatsThePlainRule(encoding: Encoding, most: Float, bound: Double) throws {
    var noise = Noise(seed: 19)
    let values = (0..<64 * 1024).map { _ in noise.values(6).reduce(0, +) }
    let back = TilePacker.unpack(try tensor(values, [64, 1024], encoding), rows: 0..<64)
    var plain: [Float] = []
    for start in stride(from: 0, to: values.count, by: 32) {
      let group = values[start..<start + 32]
      let low = Float(Float16(group.min() ?? 0))
      let scale = Float(Float16(((group.max() ?? 0) - (group.min() ?? 0)) / most))
      let rounded = group.map {
        min(max((($0 - low) / scale).rounded(), 0), most) * scale + low
      }
      let found = squaredError(Array(group), Array(back[start..<start + 32]), columns: 32)
      #expect(found <= squaredError(Array(group), rounded, columns: 32) * 1.0001)
      plain += rounded
    }
    let searched = squaredError(values, back, columns: 1024)
    #expect(searched < 0.96 * squaredError(values, plain, columns: 1024))
    let power = squaredError(values, [Float](repeating: 0, count: values.count), columns: 1024)
    #expect((searched / power).squareRoot() < bound)
  }

  /// What already is of the form that an encoding has stays so, whatever the integers are.
  @Test(arguments: Encoding.allCases.filter(\.isQuantized), [1, 31, 33, 64])
  func integersAreKept(encoding: Encoding, rowCount: Int) throws {
    var noise = Noise(seed: 20)
    var rows = IntegerRows(encoding: encoding, rowCount: rowCount, columnCount: 96)
    for index in rows.integers.indices {
      rows.integers[index] = UInt8(
        noise.bits() >> 20 & (1 << UInt64(encoding.integerBits ?? 0) - 1))
    }
    for index in rows.scales.indices {
      rows.scales[index] = Float(Float16(noise.value()))
      if encoding.hasMinimum { rows.minima[index] = Float(Float16(4 * noise.value())) }
    }
    // A group of one value, and scales that only a subnormal f16 holds.
    rows.scales[0] = 0
    rows.scales[1] = 0x1p-24
    for compute in [nil, Compute(threads: 2)] {
      let bytes = try TilePacker.pack(rows, on: compute).bytes
      let view = try #require(
        TensorView(
          ByteRegion(copying: bytes), offset: 0, shape: [rowCount, 96], encoding: encoding))
      let back = TilePacker.unpack(view, rows: 0..<rowCount)
      for index in back.indices where back[index] != rows.value(at: index) {
        Issue.record("\(index) is \(back[index]), not \(rows.value(at: index))")
        break
      }
    }
  }

  /// Scales beyond f16: the values are quantised anew, or named.
  @Test(arguments: Encoding.allCases.filter(\.isQuantized))
  func integersWithOtherScalesComeNear(encoding: Encoding) throws {
    var rows = IntegerRows(encoding: encoding, rowCount: 1, columnCount: 32)
    let most = 1 << (encoding.integerBits ?? 0) - 1
    for index in 0..<32 { rows.integers[index] = UInt8(index * most / 31) }
    for scale in [Float(0.0123), 3e-6, 1e-30] {
      rows.scales = rows.scales.map { _ in scale }
      if encoding.hasMinimum { rows.minima = [-scale * Float(most) * 0.4] }
      let view = try #require(
        TensorView(
          ByteRegion(copying: try TilePacker.pack(rows).bytes), offset: 0, shape: [1, 32],
          encoding: encoding))
      let back = TilePacker.unpack(view, rows: 0..<1)
      for index in 0..<32 {
        let largest = scale * Float(most)
        // Too small for f16: quantised anew.
        let bound = largest * 0x1p-10 + (scale < 0x1p-14 ? scale : 0) + 0x1p-24
        #expect(abs(back[index] - rows.value(at: index)) <= bound, "\(index)")
      }
    }
    for bad in [Float.nan, .infinity, 1e6] {
      rows.scales[0] = bad
      let error = #expect(throws: UnpackableValue.self) { try TilePacker.pack(rows) }
      #expect(error?.row == 0)
    }
  }

  /// The examples of the format page.
  @Test(arguments: [
    (
      Encoding.q4a, 640, [(0, [0x00, 0x38]), (64, [0x00, 0xC0]), (128, [0x0F, 0x03, 0x00])],
      [Float(5.5), -0.5, -2]
    ),
    (
      .q5a, 768, [(0, [0x00, 0x38]), (64, [0x00, 0xC0]), (128, [0x0F, 0x03]), (640, [0x01])],
      [13.5, -0.5, -2]
    ),
    (
      .q6, 896, [(0, [0x00, 0x38]), (128, [0x0F, 0x03]), (640, [0x01]), (768, [0x01, 0x00])],
      [15.5, -14.5, -16]
    ),
  ])
  func theExamplesOfTheFormatPageDecode(
    encoding: Encoding, size: Int, parts: [(place: Int, bytes: [UInt8])], values: [Float]
  ) throws {
    var bytes = [UInt8](repeating: 0, count: size)
    for part in parts {
      bytes.replaceSubrange(part.place..<part.place + part.bytes.count, with: part.bytes)
    }
    let view = try #require(
      TensorView(ByteRegion(copying: bytes), offset: 0, shape: [1, 3], encoding: encoding))
    #expect(TilePacker.unpack(view, rows: 0..<1) == values)
  }

  @Test(arguments: Encoding.allCases.filter(\.isQuantized))
  func importanceMovesTheErrorToOtherColumns(encoding: Encoding) throws {
    var noise = Noise(seed: 18)
    let values = noise.values(64 * 256)
    let importance = (0..<256).map { $0 % 8 == 0 ? Float(50) : 0.5 }
    func back(_ importance: [Float]?) throws -> [Float] {
      let bytes = try TilePacker.pack(
        values, columns: 256, encoding: encoding, importance: importance
      ).bytes
      return TilePacker.unpack(
        try #require(
          TensorView(ByteRegion(copying: bytes), offset: 0, shape: [64, 256], encoding: encoding)),
        rows: 0..<64)
    }
    let plain = try back(nil), weighted = try back(importance)
    #expect(
      squaredError(values, weighted, columns: 256, weights: importance)
        < 0.9 * squaredError(values, plain, columns: 256, weights: importance))
    #expect(
      squaredError(values, weighted, columns: 256) > squaredError(values, plain, columns: 256))
    // Only ratios within a group of 32 count; useless numbers count as none.
    #expect(try back(importance.map { $0 * 0x1p66 }) == weighted)
    for useless in [Float(0), 1, .nan, -1, .infinity] {
      #expect(try back([Float](repeating: useless, count: 256)) == plain)
    }
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
    #expect(throws: UnpackableValue(row: 1, column: 0, value: 5e5)) {
      try TilePacker.pack([1, -1e5, 5e5, 1], columns: 2, encoding: .q4)
    }
    #expect(throws: UnpackableValue(row: 1, column: 1, value: -65520)) {
      try TilePacker.pack([1, 65504, -65504, -65520], columns: 2, encoding: .q4a)
    }
  }

  @Test(
    arguments: [Float.leastNonzeroMagnitude, 1e-30, 1e-9, 1e-4, 1, 458_000, 8.3e6],
    [(Encoding.q8, Float(50)), (.q4, 12), (.q4a, 14), (.q5a, 28), (.q6, 28)])
  func scalesStayFinite(size: Float, bound: (encoding: Encoding, parts: Float)) throws {
    guard bound.encoding == .q8 || size < (bound.encoding.hasMinimum ? 6e4 : 5e5) else { return }
    let values = (0..<32).map { size * (Float($0) - 15) / 16 }
    let back = TilePacker.unpack(try tensor(values, [1, 32], bound.encoding), rows: 0..<1)
    #expect(back.allSatisfy { $0.isFinite })
    for index in values.indices where size > 1e-5 {
      #expect(abs(back[index] - values[index]) <= size / bound.parts)
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

  @Test(arguments: Encoding.allCases)
  func errorsAreThoseOfTheDecodedRows(encoding: Encoding) throws {
    var noise = Noise(seed: 21)
    let values = noise.values(70 * 50)
    let packed = try TilePacker.pack(values, columns: 50, encoding: encoding)
    let view = try #require(
      TensorView(
        ByteRegion(copying: packed.bytes), offset: 0, shape: [70, 50], encoding: encoding))
    var error = SquaredError()
    for (value, decoded) in zip(values, TilePacker.unpack(view, rows: 0..<70)) {
      let off = Double(decoded) - Double(value)
      error.add(SquaredError(error: off * off, power: Double(value) * Double(value)))
    }
    #expect((encoding == .f32) == (error.error == 0))
    #expect(abs(packed.error.error - error.error) <= 1e-12 * error.error)
    #expect(abs(packed.error.power - error.power) <= 1e-12 * error.power)
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
