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

/// Rows of a matrix in an encoding.
package struct PackedRows: Equatable, Sendable {
  /// Whole panels, as `TileLayout` counts them.
  package let bytes: [UInt8]
  /// How far they lie from what they were made of.
  package let error: SquaredError
}

/// Encodes matrices into the tiles of `formats/encodings.md`, and decodes them.
package enum TilePacker {
  /// Encodes values.
  ///
  /// - Parameters:
  ///   - values: row-major, whole rows.
  ///   - importance: what the squared error in each column counts in the search for scales of
  ///     quantised encodings; nil for all the same.
  ///   - compute: shares the panels out to its threads, if given.
  /// - Throws: `UnpackableValue`, the first in row order within its panel.
  package static func pack(
    _ values: [Float], columns: Int, encoding: Encoding, importance: [Float]? = nil,
    on compute: Compute? = nil
  ) throws(UnpackableValue) -> PackedRows {
    let rowCount = columns == 0 ? 0 : values.count / columns
    precondition(values.count == rowCount * columns, "\(values.count) values, \(columns) columns")
    precondition(
      importance.map { $0.count == columns } ?? true,
      "importance of \(importance?.count ?? 0) columns for \(columns)")
    return try unsafe values.withUnsafeBufferPointer { (values) throws(UnpackableValue) in
      try unsafe (importance ?? []).withUnsafeBufferPointer { (weights) throws(UnpackableValue) in
        try unsafe packPanels(rowCount, columns, encoding, on: compute) { rows, out, sums in
          guard let values = values.baseAddress else { return -1 }
          return unsafe vtw_encode_panel(
            encoding.code, values + rows.lowerBound * columns,
            importance == nil ? nil : weights.baseAddress, rows.count, columns, out, sums)
        } value: {
          unsafe values[$0]
        }
      }
    }
  }

  /// Encodes numbers that are integers already, which stay what they are.
  ///
  /// - Throws: `UnpackableValue`, the first in row order within its panel.
  package static func pack(
    _ rows: IntegerRows, on compute: Compute? = nil
  ) throws(UnpackableValue) -> PackedRows {
    let encoding = rows.encoding, columns = rows.columnCount
    let groups = columns / encoding.scaleColumns
    precondition(
      columns.isMultiple(of: encoding.scaleColumns)
        && rows.integers.count == rows.rowCount * columns
        && rows.scales.count == rows.rowCount * groups && rows.minima.count == rows.scales.count,
      "\(rows.rowCount) x \(columns) as integers of \(encoding.name)")
    return try unsafe packPanels(rows.rowCount, columns, encoding, on: compute) {
      panel, out, sums in
      unsafe rows.integers.withUnsafeBufferPointer { integers in
        unsafe rows.scales.withUnsafeBufferPointer { scales in
          unsafe rows.minima.withUnsafeBufferPointer { minima in
            guard let integers = integers.baseAddress, let scales = scales.baseAddress,
              let minima = minima.baseAddress
            else { return -1 }
            let first = panel.lowerBound
            return unsafe vtw_encode_integers(
              encoding.code, integers + first * columns, scales + first * groups,
              minima + first * groups, panel.count, columns, out, sums)
          }
        }
      }
    } value: {
      rows.value(at: $0)
    }
  }

  /// As many rows as make a panel of any tiled encoding.
  package static let panelRows = 32

  /// Encodes all panels, which are the same for any number of threads.
  ///
  /// - Parameters:
  ///   - encode: writes the panel of some rows, adds to the two sums of `SquaredError`, and returns
  ///     -1 or the place in the panel of a value that the encoding cannot hold.
  ///   - value: the value at a place of the matrix.
  @unsafe private static func packPanels(
    _ rowCount: Int, _ columns: Int, _ encoding: Encoding, on compute: Compute?,
    encode: (
      _ rows: Range<Int>, UnsafeMutableRawPointer, UnsafeMutablePointer<Double>
    ) -> Int,
    value: (Int) -> Float
  ) throws(UnpackableValue) -> PackedRows {
    guard let layout = TileLayout(encoding, rows: rowCount, columns: columns) else {
      preconditionFailure("\(rowCount) x \(columns) is no matrix")
    }
    let panels = (rowCount + panelRows - 1) / panelRows
    let panelBytes = layout.panelBytes * (panelRows / encoding.tileRows)
    var failures = [Int](repeating: -1, count: panels)
    var sums = [Double](repeating: 0, count: 2 * panels)
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: layout.byteCount) { out, filled in
      unsafe failures.withUnsafeMutableBufferPointer { failures in
        unsafe sums.withUnsafeMutableBufferPointer { sums in
          if let out = out.baseAddress, let sums = sums.baseAddress {
            func encodePanel(_ panel: Int) {
              let first = panel * panelRows
              unsafe failures[panel] = unsafe encode(
                first..<min(first + panelRows, rowCount), out + panel * panelBytes, sums + 2 * panel
              )
            }
            if let compute {
              compute.parallel(panels, encodePanel)
            } else {
              for panel in 0..<panels { encodePanel(panel) }
            }
          }
        }
      }
      filled = layout.byteCount
    }
    if let panel = failures.firstIndex(where: { $0 >= 0 }) {
      let place = panel * panelRows * columns + failures[panel]
      throw UnpackableValue(row: place / columns, column: place % columns, value: value(place))
    }
    var error = SquaredError()
    for panel in 0..<panels {
      error.add(SquaredError(error: sums[2 * panel], power: sums[2 * panel + 1]))
    }
    return PackedRows(bytes: bytes, error: error)
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
