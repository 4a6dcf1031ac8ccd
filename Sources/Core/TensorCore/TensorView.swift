/// A tensor that lies somewhere in a `ByteRegion`: a handle that may be stored anywhere.
///
/// As a matrix it has `shape[0]` rows and the product of the other extents as columns.
package struct TensorView: Sendable {
  package let region: ByteRegion
  /// Where the tensor lies in the region.
  package let byteRange: Range<Int>
  package let shape: Shape
  package let layout: TileLayout

  package var encoding: Encoding { layout.encoding }
  package var rows: Int { layout.rows }
  package var columns: Int { layout.columns }

  /// Nil unless the shape is legal, its layout fits the region at `offset`, and the address is a
  /// multiple of four (f32) or 64 bytes (tiles).
  package init?(_ region: ByteRegion, offset: Int, shape: Shape, encoding: Encoding) {
    guard let rows = shape.dimensions.first,
      let columns = checkedProduct(shape.dimensions.dropFirst()),
      let layout = TileLayout(encoding, rows: rows, columns: columns),
      offset >= 0, let end = checkedSum(offset, layout.byteCount), end <= region.byteCount,
      offset.isMultiple(of: encoding == .f32 ? 4 : 64)
    else { return nil }
    self.region = region
    byteRange = offset..<end
    self.shape = shape
    self.layout = layout
  }

  /// The values of a vector or row-major f32 matrix.
  package var floats: Span<Float> {
    @_lifetime(borrow self) get {
      precondition(encoding == .f32, "floats of a \(encoding.name) tensor")
      let count = byteRange.count / 4
      let start = unsafe region.address(at: byteRange.lowerBound)
        .assumingMemoryBound(to: Float.self)
      let span = unsafe Span(_unsafeStart: start, count: count)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The bytes of the region that hold row `row`, and those of its panel beside it.
  package func panelBytes(of row: Int) -> Range<Int> {
    precondition(row >= 0 && row < rows, "row \(row) of \(rows)")
    let start = byteRange.lowerBound + row / encoding.tileRows * layout.panelBytes
    return start..<start + layout.panelBytes
  }

  /// The first byte, for kernels; valid while the view lives.
  @unsafe package var address: UnsafeRawPointer {
    unsafe region.address(at: byteRange.lowerBound)
  }
}
