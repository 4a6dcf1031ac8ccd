import CSystem

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

  /// Whether `SourceTensor.readRows` can turn it into f32 without loss.
  package var isReadable: Bool { self == .f32 || self == .f16 || self == .bf16 }

  /// Bytes of a tensor of `shape`; nil if they overflow or end inside a byte.
  package func byteCount(of shape: Shape) -> Int? {
    guard let bits = checkedProduct(shape.dimensions + [bitCount]), bits.isMultiple(of: 8) else {
      return nil
    }
    return bits / 8
  }
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
  package let type: SourceType
  package let shape: Shape
  package let rowCount: Int
  package let columnCount: Int

  /// Nil unless the shape is legal and `range` lies in the region and has exactly its bytes.
  package init?(
    name: String, region: ByteRegion, range: Range<Int>, type: SourceType, shape: Shape
  ) {
    guard range.lowerBound >= 0, range.upperBound <= region.byteCount,
      type.byteCount(of: shape) == range.count,
      let columns = checkedProduct(shape.dimensions.dropFirst())
    else { return nil }
    self.name = name
    self.region = region
    self.range = range
    self.type = type
    self.shape = shape
    rowCount = shape.dimensions.first ?? 1
    columnCount = columns
  }

  /// The same numbers in another shape; nil if their count differs.
  package func reshaped(to shape: Shape) -> SourceTensor? {
    SourceTensor(name: name, region: region, range: range, type: type, shape: shape)
  }

  /// Replaces `values` by the given rows as f32, row after row.
  ///
  /// The type must be readable and the rows must exist.  Values need not be finite.
  package func readRows(_ rows: Range<Int>, into values: inout [Float]) {
    precondition(type.isReadable, "'\(name)' is \(type.rawValue)")
    let bytes = byteRange(of: rows)
    let count = rows.count * columnCount
    if values.count != count { values = Array(repeating: 0, count: count) }
    guard count > 0 else { return }
    unsafe values.withUnsafeMutableBufferPointer { values in
      guard let output = values.baseAddress else { return }
      let input = unsafe region.address(at: bytes.lowerBound)
      switch type {
      case .f16: unsafe vtw_f16_to_f32(output, input, count)
      case .bf16: unsafe vtw_bf16_to_f32(output, input, count)
      default:
        unsafe UnsafeMutableRawPointer(output).copyMemory(from: input, byteCount: bytes.count)
      }
    }
  }

  /// Calls `body` with the bytes of the given rows as they lie in the source.
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

  /// Gives back the memory of rows that will not be read again soon, so that a file of any size
  /// passes through little memory.
  package func drop(_ rows: Range<Int>) { region.dropPages(byteRange(of: rows)) }

  /// Whether both hold the same bytes in the same type and shape.  Passes through little memory.
  package func hasSameContent(as other: SourceTensor) -> Bool {
    guard type == other.type, shape == other.shape else { return false }
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
    // Only readable types, whose elements are whole bytes, and sub-byte types whose rows are.
    let rowBits = columnCount * type.bitCount
    return range.lowerBound + rows.lowerBound * rowBits / 8..<range.lowerBound + rows.upperBound
      * rowBits / 8
  }
}
