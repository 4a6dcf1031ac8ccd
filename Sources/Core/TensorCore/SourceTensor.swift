/// The number types of a safetensors file; raw values are its names for them.
package enum SourceType: String, CaseIterable, Sendable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"
  case c64 = "C64"
  case f8E5M2 = "F8_E5M2"
  case f8E4M3 = "F8_E4M3"
  case f8E8M0 = "F8_E8M0"
  case f8E4M3FNUZ = "F8_E4M3FNUZ"
  case f8E5M2FNUZ = "F8_E5M2FNUZ"
  case f6E2M3 = "F6_E2M3"
  case f6E3M2 = "F6_E3M2"
  case f4 = "F4"

  /// Bits of one element; sub-byte types are packed.
  package var bitCount: Int {
    switch self {
    case .f64, .i64, .u64, .c64: 64
    case .f32, .i32, .u32: 32
    case .f16, .bf16, .i16, .u16: 16
    case .i8, .u8, .bool, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ: 8
    case .f6E2M3, .f6E3M2: 6
    case .f4: 4
    }
  }

  /// Sub-byte types come in the fewest elements that fill whole bytes.
  package var format: BlockFormat {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    case .f4: BlockFormat(rawValue, elements: 2, bytes: 1)
    case .f6E2M3, .f6E3M2: BlockFormat(rawValue, elements: 4, bytes: 3)
    default: BlockFormat(rawValue, bytes: bitCount / 8)
    }
  }

  /// Bytes of a tensor of `shape`; nil if they overflow or end inside a byte.
  package func byteCount(of shape: Shape) -> Int? { format.byteCount(of: shape) }
}

/// A tensor of a foreign file, row-major and little-endian at any byte alignment.
///
/// As a matrix it has `shape[0]` rows and the product of the other extents as columns; a scalar is
/// one row of one column.
package struct SourceTensor: Sendable {
  /// As the source calls it, for messages.
  package let name: String
  package let region: ByteRegion
  /// Where its bytes lie in the region.
  package let range: Range<Int>
  package let format: BlockFormat
  package let shape: Shape
  package let rowCount: Int
  package let columnCount: Int
  /// Rows of a head if the two halves of each head are interleaved in the source, so that row
  /// `j * size / 2 + i` of a head is stored as its row `2 * i + j`; nil if rows lie in order.
  package let interleavedHeadSize: Int?

  /// Nil unless the shape is legal, `range` lies in the region and has exactly its bytes, and rows
  /// are whole blocks (of a readable format) and whole heads of even size (if interleaved).
  package init?(
    name: String, region: ByteRegion, range: Range<Int>, format: BlockFormat, shape: Shape,
    interleavedHeadSize: Int? = nil
  ) {
    guard range.lowerBound >= 0, range.upperBound <= region.byteCount,
      format.byteCount(of: shape) == range.count,
      let columns = checkedProduct(shape.dimensions.dropFirst()),
      !format.isReadable || columns.isMultiple(of: format.elementCount)
    else { return nil }
    self.name = name
    self.region = region
    self.range = range
    self.format = format
    self.shape = shape
    self.interleavedHeadSize = interleavedHeadSize
    rowCount = shape.dimensions.first ?? 1
    columnCount = columns
    if let size = interleavedHeadSize {
      guard size > 0, size.isMultiple(of: 2), rowCount.isMultiple(of: size) else { return nil }
    }
  }

  /// A tensor of a safetensors file.
  package init?(
    name: String, region: ByteRegion, range: Range<Int>, type: SourceType, shape: Shape
  ) {
    self.init(name: name, region: region, range: range, format: type.format, shape: shape)
  }

  /// The same numbers in another shape; nil if their count differs.
  package func reshaped(to shape: Shape) -> SourceTensor? {
    SourceTensor(
      name: name, region: region, range: range, format: format, shape: shape,
      interleavedHeadSize: interleavedHeadSize)
  }

  /// The same bytes, read as heads of `size` rows whose halves are interleaved; nil if the rows are
  /// not whole heads of even size.
  package func interleaved(headSize size: Int) -> SourceTensor? {
    SourceTensor(
      name: name, region: region, range: range, format: format, shape: shape,
      interleavedHeadSize: size)
  }

  /// Replaces `values` by the given rows as f32, row after row.
  ///
  /// The format must be readable and the rows must exist.  Values need not be finite.
  package func readRows(_ rows: Range<Int>, into values: inout [Float]) {
    let count = rows.count * columnCount
    if values.count != count { values = Array(repeating: 0, count: count) }
    unsafe values.withUnsafeMutableBufferPointer { values in
      if let output = values.baseAddress { unsafe readRows(rows, to: output) }
    }
  }

  /// The given rows as f32, row after row; see `readRows(_:into:)`.
  package func readRows(_ rows: Range<Int>) -> [Float] {
    unsafe Array(unsafeUninitializedCapacity: rows.count * columnCount) { values, filled in
      if let output = values.baseAddress { unsafe readRows(rows, to: output) }
      filled = rows.count * columnCount
    }
  }

  private func readRows(_ rows: Range<Int>, to output: UnsafeMutablePointer<Float>) {
    guard let decode = unsafe format.decode else {
      preconditionFailure("'\(name)' is \(format.name)")
    }
    forEachRun(of: rows) { place, blocks, count in
      unsafe decode(output + place * columnCount, blocks, count)
    }
  }

  /// The given rows as integers; nil unless the format is made of some.
  package func readIntegers(_ rows: Range<Int>) -> IntegerRows? {
    guard let source = format.integers else { return nil }
    var result = IntegerRows(
      encoding: source.encoding, rowCount: rows.count, columnCount: columnCount)
    let groups = columnCount / source.encoding.scaleColumns
    unsafe result.integers.withUnsafeMutableBufferPointer { integers in
      unsafe result.scales.withUnsafeMutableBufferPointer { scales in
        unsafe result.minima.withUnsafeMutableBufferPointer { minima in
          guard let integers = integers.baseAddress, let scales = scales.baseAddress,
            let minima = minima.baseAddress
          else { return }
          forEachRun(of: rows) { place, blocks, count in
            unsafe source.read(
              integers + place * columnCount, scales + place * groups, minima + place * groups,
              blocks, count)
          }
        }
      }
    }
    return result
  }

  /// Calls `body` with the blocks of rows that lie side by side: where the first of them is among
  /// `rows`, their address and number.
  private func forEachRun(
    of rows: Range<Int>, _ body: (_ place: Int, UnsafeRawPointer, _ blockCount: Int) -> Void
  ) {
    let bytes = byteRange(of: rows)
    let rowBlocks = columnCount / format.elementCount
    guard rows.count * rowBlocks > 0 else { return }
    guard let interleavedHeadSize else {
      unsafe body(0, region.address(at: bytes.lowerBound), rows.count * rowBlocks)
      return
    }
    for (place, row) in rows.enumerated() {
      let stored = Self.storedRow(row, headSize: interleavedHeadSize)
      unsafe body(
        place, region.address(at: byteRange(of: stored..<stored + 1).lowerBound), rowBlocks)
    }
  }

  /// Where the source has row `row` of heads with interleaved halves.
  private static func storedRow(_ row: Int, headSize: Int) -> Int {
    let (head, place) = row.quotientAndRemainder(dividingBy: headSize)
    let (half, pair) = place.quotientAndRemainder(dividingBy: headSize / 2)
    return head * headSize + 2 * pair + half
  }

  /// Calls `body` with the bytes of as many rows as they lie in the source, which are others than
  /// `readRows` reads if heads are interleaved.
  @unsafe package func withBytes(of rows: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
    let bytes = byteRange(of: rows)
    unsafe body(
      UnsafeRawBufferPointer(start: region.address(at: bytes.lowerBound), count: bytes.count))
  }

  /// All values as f32; meant for small tensors.
  package func values() -> [Float] {
    var values: [Float] = []
    readRows(0..<rowCount, into: &values)
    return values
  }

  /// Bytes that the source has of as many rows.
  package func byteCount(of rows: Range<Int>) -> Int { byteRange(of: rows).count }

  /// Asks for rows that are read soon.
  package func willNeed(_ rows: Range<Int>) { region.willNeed(byteRange(of: rows)) }

  /// Gives back the memory of rows that will not be read again soon, so that a file of any size
  /// passes through little memory.
  package func drop(_ rows: Range<Int>) { region.dropPages(byteRange(of: rows)) }

  /// Whether both hold the same bytes in the same format, shape and order.  Passes through little
  /// memory.
  package func hasSameContent(as other: SourceTensor) -> Bool {
    guard format.name == other.format.name, shape == other.shape,
      interleavedHeadSize == other.interleavedHeadSize
    else { return false }
    let step = 1 << 22
    for start in stride(from: 0, to: range.count, by: step) {
      let part = start..<min(start + step, range.count)
      let mine = part.lowerBound + range.lowerBound..<part.upperBound + range.lowerBound
      let theirs =
        part.lowerBound + other.range.lowerBound..<part.upperBound + other.range.lowerBound
      defer {
        region.dropPages(mine)
        other.region.dropPages(theirs)
      }
      if region.copy(mine) != other.region.copy(theirs) { return false }
    }
    return true
  }

  /// The bytes of `rows` in the region.
  private func byteRange(of rows: Range<Int>) -> Range<Int> {
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= rowCount, "rows \(rows) of \(rowCount)")
    // Rows of a readable format are whole blocks.
    let rowBytes = columnCount / format.elementCount * format.byteCount
    return range.lowerBound + rows.lowerBound * rowBytes..<range.lowerBound
      + rows.upperBound * rowBytes
  }
}
