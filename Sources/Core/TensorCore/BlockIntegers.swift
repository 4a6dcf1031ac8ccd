/// The numbers of a block format as what they are made of: integers, scales and minima of an encoding
/// that holds them exactly, or within the rounding of its scales.
@safe package struct BlockIntegers: Sendable {
  /// Turns `blockCount` blocks into the integers of all elements, and a scale and a minimum for each
  /// `encoding.scaleColumns` of them: (integers, scales, minima, blocks, blockCount).
  ///
  /// Minima are left as they are unless the encoding has some.  The blocks have any alignment.
  package typealias Reading =
    @Sendable (
      UnsafeMutablePointer<UInt8>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>,
      UnsafeRawPointer, _ blockCount: Int
    ) -> Void

  package let encoding: Encoding
  let read: Reading

  @unsafe package init(_ encoding: Encoding, read: @escaping Reading) {
    self.encoding = encoding
    unsafe self.read = read
  }
}

/// Whole rows of a matrix as integers; see `BlockIntegers`.
package struct IntegerRows: Sendable {
  package let encoding: Encoding
  package let rowCount: Int
  package let columnCount: Int
  /// `[rowCount, columnCount]`.
  package var integers: [UInt8]
  /// `[rowCount, columnCount / encoding.scaleColumns]`.
  package var scales: [Float]
  /// The same shape; zeros unless the encoding has minima.
  package var minima: [Float]

  package init(encoding: Encoding, rowCount: Int, columnCount: Int) {
    self.encoding = encoding
    self.rowCount = rowCount
    self.columnCount = columnCount
    integers = Array(repeating: 0, count: rowCount * columnCount)
    scales = Array(repeating: 0, count: rowCount * columnCount / encoding.scaleColumns)
    minima = scales
  }

  /// The value at `index` of `integers`.
  package func value(at index: Int) -> Float {
    let group = index / encoding.scaleColumns
    let zero = encoding.hasMinimum ? 0 : 1 << ((encoding.integerBits ?? 1) - 1)
    return scales[group] * Float(Int(integers[index]) - zero) + minima[group]
  }
}
