/// How the numbers of a tensor are stored.
///
/// A matrix of `rows x columns` is cut into tiles of `tileRows x tileColumns`, padded with values
/// that decode to zero.  Tiles follow each other column by column within a row of tiles (a panel),
/// panel after panel.  `formats/encodings.md` is the contract; raw values are file constants.
package enum Encoding: UInt16, CaseIterable, Sendable {
  /// IEEE binary32, row-major, no padding.
  case f32 = 1
  /// IEEE binary16 in tiles of 32 rows x 1 column.
  case f16 = 2
  /// bfloat16 in tiles of 32 rows x 2 columns: the two columns of a row lie side by side.
  case bf16 = 3
  /// 8-bit symmetric with one f16 scale per row and 32 columns, in tiles of 32 rows x 32 columns.
  case q8 = 16
  /// 4-bit with one f16 scale per row and 32 columns, in tiles of 32 rows x 32 columns.
  case q4 = 17
  /// 4-bit with an f16 scale and minimum per row and 32 columns, in tiles of 32 rows x 32 columns.
  case q4a = 18
  /// 5-bit with an f16 scale and minimum per row and 32 columns, in tiles of 32 rows x 32 columns.
  case q5a = 19
  /// 6-bit with one f16 scale per row and 16 columns, in tiles of 32 rows x 32 columns.
  case q6 = 20

  package var name: String {
    switch self {
    case .f32: "f32"
    case .f16: "f16"
    case .bf16: "bf16"
    case .q8: "q8"
    case .q4: "q4"
    case .q4a: "q4a"
    case .q5a: "q5a"
    case .q6: "q6"
    }
  }

  package init?(name: String) {
    guard let match = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = match
  }

  package var tileRows: Int { self == .f32 ? 1 : 32 }

  package var tileColumns: Int {
    switch self {
    case .f32, .f16: 1
    case .bf16: 2
    case .q8, .q4, .q4a, .q5a, .q6: 32
    }
  }

  /// Whether values are integers times a scale that columns of a row share.
  package var isQuantized: Bool { integerBits != nil }

  /// Bits of an integer of a quantised encoding.
  package var integerBits: Int? {
    switch self {
    case .f32, .f16, .bf16: nil
    case .q8: 8
    case .q4, .q4a: 4
    case .q5a: 5
    case .q6: 6
    }
  }

  /// Whether a quantised value is scale x integer + minimum with integers from 0 on; else it is
  /// scale x (integer - 2^(bits - 1)).
  package var hasMinimum: Bool { self == .q4a || self == .q5a }

  /// Columns that share a scale in a quantised encoding.
  package var scaleColumns: Int { self == .q6 ? 16 : 32 }

  /// Bytes of scales and minima, with which a tile of a quantised encoding begins.
  package var scaleBytes: Int { isQuantized ? 64 * (hasMinimum ? 2 : 32 / scaleColumns) : 0 }

  /// Bytes of one tile; tiles lie back to back.
  package var tileBytes: Int {
    switch self {
    case .f32: 4
    case .f16: 32 * 2
    case .bf16: 32 * 2 * 2
    case .q8, .q4, .q4a, .q5a, .q6: scaleBytes + 32 * 32 / 8 * (integerBits ?? 0)
    }
  }
}

/// The padded extents and byte size of a matrix in an encoding.
package struct TileLayout: Equatable, Sendable {
  package let encoding: Encoding
  package let rows: Int
  package let columns: Int
  package let paddedRows: Int
  package let paddedColumns: Int
  /// Bytes from one panel of `tileRows` rows to the next.
  package let panelBytes: Int
  package let byteCount: Int

  /// Nil if an extent is negative or a size overflows.
  package init?(_ encoding: Encoding, rows: Int, columns: Int) {
    guard rows >= 0, columns >= 0,
      let paddedRows = roundedUp(rows, to: encoding.tileRows),
      let paddedColumns = roundedUp(columns, to: encoding.tileColumns),
      let panelBytes = checkedProduct([paddedColumns / encoding.tileColumns, encoding.tileBytes]),
      let byteCount = checkedProduct([paddedRows / encoding.tileRows, panelBytes])
    else { return nil }
    self.encoding = encoding
    self.rows = rows
    self.columns = columns
    self.paddedRows = paddedRows
    self.paddedColumns = paddedColumns
    self.panelBytes = panelBytes
    self.byteCount = byteCount
  }
}
