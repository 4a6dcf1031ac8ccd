import CKernels
package import TensorCore

/// A value that an encoding cannot hold: not finite, or too large for 16 bits.
package struct UnpackableValue: Error, Equatable {
  /// Row and column in the matrix that was to be packed.
  package let row: Int
  package let column: Int
  package let value: Float

  package init(row: Int, column: Int, value: Float) {
    self.row = row
    self.column = column
    self.value = value
  }
}

/// Encodes matrices into the tiles of `formats/encodings.md`, and decodes them.
package enum TilePacker {
  /// Encodes consecutive panels of a matrix.
  ///
  /// - Parameters:
  ///   - rows: row-major values, whole rows; all but the last panel are complete.
  ///   - importance: what the squared error in each column counts in the search for scales of
  ///     quantised encodings; nil for all the same.
  ///   - out: exactly the bytes of these panels, as `TileLayout` counts them.
  ///   - compute: shares the panels out to its threads, if given.
  /// - Throws: `UnpackableValue`, the first in row order within its panel.
  package static func pack(
    _ rows: Span<Float>, columns: Int, encoding: Encoding, importance: [Float]? = nil,
    into out: inout MutableRawSpan, on compute: Compute? = nil
  ) throws(UnpackableValue) {
    let rowCount = columns == 0 ? 0 : rows.count / columns
    guard let layout = TileLayout(encoding, rows: rowCount, columns: columns) else {
      preconditionFailure("\(rowCount) x \(columns) is no matrix")
    }
    precondition(
      rows.count == rowCount * columns && out.byteCount == layout.byteCount,
      "\(rows.count) values of \(columns) columns into \(out.byteCount) bytes")
    precondition(
      importance.map { $0.count == columns } ?? true,
      "importance of \(importance?.count ?? 0) columns for \(columns)")
    let tileRows = encoding == .f32 ? 32 : encoding.tileRows
    let panelBytes = encoding == .f32 ? 32 * columns * 4 : layout.panelBytes
    let panels = (rowCount + tileRows - 1) / tileRows
    var failure: Int?
    unsafe rows.withUnsafeBufferPointer { values in
      unsafe out.withUnsafeMutableBytes { bytes in
        unsafe (importance ?? []).withUnsafeBufferPointer { importances in
          guard let values = values.baseAddress, let bytes = bytes.baseAddress else { return }
          let weights = unsafe importance == nil ? nil : importances.baseAddress
          failure = Self.firstFailure(in: panels, tileRows * columns, on: compute) { panel in
            let first = panel * tileRows
            return unsafe vtw_encode_panel(
              encoding.code, values + first * columns, weights, min(tileRows, rowCount - first),
              columns, bytes + panel * panelBytes)
          }
        }
      }
    }
    if let failure {
      throw UnpackableValue(
        row: failure / columns, column: failure % columns, value: rows[failure])
    }
  }

  /// Encodes all panels; where the first value lies that one could not hold.
  ///
  /// - Parameters:
  ///   - size: values of a panel.
  ///   - encode: encodes a panel, and gives -1 or the place in it of such a value.
  private static func firstFailure(
    in panels: Int, _ size: Int, on compute: Compute?, encode: (Int) -> Int
  ) -> Int? {
    var failures = [Int](repeating: -1, count: panels)
    unsafe failures.withUnsafeMutableBufferPointer { failures in
      guard let failures = failures.baseAddress else { return }
      func encodePanel(_ panel: Int) { unsafe failures[panel] = encode(panel) }
      if let compute {
        compute.parallel(panels, encodePanel)
      } else {
        for panel in 0..<panels { encodePanel(panel) }
      }
    }
    return failures.firstIndex { $0 >= 0 }.map { $0 * size + failures[$0] }
  }

  /// Packs whole panels whose numbers are integers already, which stay what they are.
  ///
  /// - Throws: `UnpackableValue`, the first in row order within its panel.
  package static func pack(
    _ rows: IntegerRows, on compute: Compute? = nil
  ) throws(UnpackableValue) -> [UInt8] {
    let encoding = rows.encoding, columns = rows.columnCount
    let groups = columns / encoding.scaleColumns
    guard let layout = TileLayout(encoding, rows: rows.rowCount, columns: columns),
      columns.isMultiple(of: encoding.scaleColumns), rows.integers.count == rows.rowCount * columns,
      rows.scales.count == rows.rowCount * groups, rows.minima.count == rows.scales.count
    else { preconditionFailure("\(rows.rowCount) x \(columns) as integers of \(encoding.name)") }
    var bytes = [UInt8](repeating: 0, count: layout.byteCount)
    let tileRows = encoding.tileRows
    var failure: Int?
    unsafe rows.integers.withUnsafeBufferPointer { integers in
      unsafe rows.scales.withUnsafeBufferPointer { scales in
        unsafe rows.minima.withUnsafeBufferPointer { minima in
          unsafe bytes.withUnsafeMutableBytes { bytes in
            guard let integers = integers.baseAddress, let scales = scales.baseAddress,
              let minima = minima.baseAddress, let bytes = bytes.baseAddress
            else { return }
            failure = Self.firstFailure(
              in: layout.paddedRows / tileRows, tileRows * columns, on: compute
            ) { panel in
              let first = panel * tileRows
              return unsafe vtw_encode_integers(
                encoding.code, integers + first * columns, scales + first * groups,
                minima + first * groups, min(tileRows, rows.rowCount - first), columns,
                bytes + panel * layout.panelBytes)
            }
          }
        }
      }
    }
    if let failure {
      throw UnpackableValue(
        row: failure / columns, column: failure % columns, value: rows.value(at: failure))
    }
    return bytes
  }

  /// A whole matrix as bytes.
  package static func pack(
    _ values: [Float], columns: Int, encoding: Encoding, importance: [Float]? = nil,
    on compute: Compute? = nil
  ) throws(UnpackableValue) -> [UInt8] {
    let rows = columns == 0 ? 0 : values.count / columns
    guard let layout = TileLayout(encoding, rows: rows, columns: columns) else {
      preconditionFailure("\(rows) x \(columns) is no matrix")
    }
    var bytes = [UInt8](repeating: 0, count: layout.byteCount)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    try pack(
      values.span, columns: columns, encoding: encoding, importance: importance, into: &raw,
      on: compute)
    return bytes
  }

  /// How far packed panels lie from the values that they were made of; the same for any number of
  /// threads.
  ///
  /// - Parameters:
  ///   - packed: what `pack` made of `values` in a tiled encoding.
  package static func error(
    of packed: [UInt8], from values: [Float], columns: Int, encoding: Encoding,
    on compute: Compute? = nil
  ) -> SquaredError {
    let rows = columns == 0 ? 0 : values.count / columns
    guard encoding != .f32, rows > 0 else { return SquaredError() }
    guard let layout = TileLayout(encoding, rows: rows, columns: columns),
      layout.byteCount == packed.count
    else { preconditionFailure("\(packed.count) bytes for \(rows) x \(columns)") }
    let panels = layout.paddedRows / encoding.tileRows
    var sums = [Double](repeating: 0, count: 2 * panels)
    unsafe values.withUnsafeBufferPointer { values in
      unsafe packed.withUnsafeBytes { packed in
        unsafe sums.withUnsafeMutableBufferPointer { sums in
          guard let values = values.baseAddress, let packed = packed.baseAddress,
            let sums = sums.baseAddress
          else { return }
          let measurePanel = { (panel: Int) in
            let first = panel * encoding.tileRows
            unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { row in
              unsafe vtw_panel_error(
                encoding.code, values + first * columns, min(encoding.tileRows, rows - first),
                columns, packed + panel * layout.panelBytes, row.baseAddress, sums + 2 * panel)
            }
          }
          if let compute {
            compute.parallel(panels, measurePanel)
          } else {
            for panel in 0..<panels { measurePanel(panel) }
          }
        }
      }
    }
    var total = SquaredError()
    for panel in 0..<panels {
      total.add(SquaredError(error: sums[2 * panel], power: sums[2 * panel + 1]))
    }
    return total
  }

  /// Decodes rows of a tensor of any encoding, row-major: the portable truth.
  package static func unpack(_ view: TensorView, rows: Range<Int>) -> [Float] {
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= view.rows, "rows \(rows) of \(view.rows)")
    return unsafe Array(unsafeUninitializedCapacity: rows.count * view.columns) { out, filled in
      if let base = out.baseAddress {
        for row in rows {
          unsafe vtw_decode_row(
            view.encoding.code, view.address, view.columns, row,
            base + (row - rows.lowerBound) * view.columns)
        }
      }
      filled = rows.count * view.columns
    }
  }

  /// Widens little-endian values of a checkpoint to f32.
  ///
  /// - Parameters:
  ///   - bytes: f32, f16 or bf16 values at any alignment.
  ///   - source: what they are; not a block encoding.
  ///   - out: one float per value.
  package static func widen(
    _ bytes: RawSpan, from source: Encoding, into out: inout MutableSpan<Float>
  ) {
    let size = source == .f32 ? 4 : 2
    precondition(
      !source.isQuantized && bytes.byteCount == out.count * size,
      "\(bytes.byteCount) bytes of \(source.name) into \(out.count) values")
    unsafe bytes.withUnsafeBytes { bytes in
      unsafe out.withUnsafeMutableBufferPointer { out in
        guard let from = bytes.baseAddress, let to = out.baseAddress else { return }
        unsafe vtw_widen(source.code, from, out.count, to)
      }
    }
  }
}
