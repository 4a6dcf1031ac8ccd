import TensorCore

/// A table of text: RFC 4180 with commas, or the same with tabs as pandas writes it.
///
/// The first row names the columns.  A cell is a range of the file until somebody asks for its text,
/// since a cell may hold an image.
struct DelimitedRows {
  /// How a table is written.
  struct Dialect {
    let delimiter: UInt8
    /// Whether a quote inside a cell that does not begin with one is an ordinary character.
    let allowsBareQuotes: Bool

    /// RFC 4180; lines may end with a line feed alone.
    static let commas = Dialect(delimiter: UInt8(ascii: ","), allowsBareQuotes: false)
    /// Tabs, as `pandas.read_csv(sep="\t")` reads them.
    static let tabs = Dialect(delimiter: UInt8(ascii: "\t"), allowsBareQuotes: true)
  }

  /// Where a cell's text lies, its quotes left out.
  struct Cell {
    var range: Range<Int>
    /// Whether it holds doubled quotes, each of which stands for one.
    var hasDoubledQuotes: Bool
  }

  /// One row, or what is wrong with it.
  struct Row {
    /// The line it starts on, from 1.
    var line: Int
    var cells: [Cell]
    var problem: String?
  }

  let columns: [String: Int]
  private let file: ListFile
  private let dialect: Dialect
  private let firstRow: Position

  /// A place between two rows.
  private struct Position {
    var offset: Int
    var line: Int
  }

  /// Reads the row of names.
  ///
  /// - Throws: `InputError` if it is broken, or two columns have the same name.
  init(_ file: ListFile, _ dialect: Dialect) throws(InputError) {
    self.file = file
    self.dialect = dialect
    var position = Position(offset: file.start, line: 1)
    let header = Self.row(file.bytes, dialect, &position)
    if let problem = header.problem {
      throw InputError(file.path, "the row of column names: \(problem)")
    }
    var columns: [String: Int] = [:]
    for (place, cell) in header.cells.enumerated() {
      let name = try Self.text(cell, in: file, limit: 1024)
      guard columns.updateValue(place, forKey: name) == nil else {
        throw InputError(file.path, "two columns are called '\(printable(name))'")
      }
    }
    self.columns = columns
    firstRow = position
  }

  /// Calls `body` with every row but the first; rows without anything in them are passed over.  Of
  /// more rows than are read, the first too many is a problem and the last.
  func forEach(_ body: (Row) -> Void) {
    let bytes = file.bytes
    var position = firstRow
    var count = 0
    while position.offset < bytes.count, count <= SampleLimits.entries {
      var row = Self.row(bytes, dialect, &position)
      if row.cells.count == 1, row.cells[0].range.isEmpty, row.problem == nil { continue }
      if row.problem == nil, row.cells.count != columns.count {
        row.problem = "has \(row.cells.count) cells; the table has \(columns.count) columns"
      }
      count += 1
      if count > SampleLimits.entries {
        row.problem = "more than \(SampleLimits.entries) rows are not read"
      }
      body(row)
    }
  }

  /// The text in `column` of `row`; nil if there is no such column, or nothing to be seen.
  func text(_ column: String, of row: Row) throws(InputError) -> String? {
    guard let place = columns[column] else { return nil }
    let text = try Self.text(row.cells[place], in: file, limit: SampleLimits.sample)
    return isBlank(text) ? nil : text
  }

  /// Where the text in `column` of `row` lies; nil if there is no such column, or nothing in it.
  func cell(_ column: String, of row: Row) -> Cell? {
    guard let place = columns[column], !row.cells[place].range.isEmpty else { return nil }
    return row.cells[place]
  }

  private static func text(
    _ cell: Cell, in file: ListFile, limit: Int
  ) throws(InputError) -> String {
    let bytes = try file.text(cell.range, limit: limit)
    guard var text = String(validating: bytes, as: UTF8.self) else {
      throw InputError(file.path, "is not UTF-8")
    }
    if cell.hasDoubledQuotes { text.replace("\"\"", with: "\"") }
    return text
  }

  /// Reads the row at `position`, which moves behind its line break.  After a mistake the rest of the
  /// line is skipped; a quote that does not end takes the rest of the file.
  private static func row(_ bytes: Span<UInt8>, _ dialect: Dialect, _ position: inout Position)
    -> Row
  {
    let quote = UInt8(ascii: "\"")
    var row = Row(line: position.line, cells: [], problem: nil)
    var place = position.offset
    while true {
      var cell = Cell(range: place..<place, hasDoubledQuotes: false)
      if place < bytes.count, bytes[place] == quote {
        let start = place + 1
        place = start
        while true {
          guard place < bytes.count else {
            row.problem = row.problem ?? "a quote does not end"
            position.offset = bytes.count
            return row
          }
          if bytes[place] == UInt8(ascii: "\n") { position.line += 1 }
          if bytes[place] == quote {
            guard place + 1 < bytes.count, bytes[place + 1] == quote else { break }
            cell.hasDoubledQuotes = true
            place += 1
          }
          place += 1
        }
        cell.range = start..<place
        place += 1
        while place < bytes.count, !isEnd(bytes, place, dialect) {
          row.problem = row.problem ?? "text after the quote that ends a cell"
          place += 1
        }
      } else {
        let start = place
        while place < bytes.count, !isEnd(bytes, place, dialect) {
          if bytes[place] == quote, !dialect.allowsBareQuotes {
            row.problem = row.problem ?? "a quote inside a cell that does not begin with one"
          }
          if bytes[place] == UInt8(ascii: "\r") {
            row.problem = row.problem ?? "a carriage return inside a cell without quotes"
          }
          place += 1
        }
        cell.range = start..<place
      }
      row.cells.append(cell)
      if place < bytes.count, bytes[place] == dialect.delimiter, row.cells.count <= 4096 {
        place += 1
        continue
      }
      while place < bytes.count, bytes[place] != UInt8(ascii: "\n") { place += 1 }
      position = Position(offset: min(place + 1, bytes.count), line: position.line + 1)
      return row
    }
  }

  /// Whether a cell without quotes ends at `place`.
  private static func isEnd(_ bytes: Span<UInt8>, _ place: Int, _ dialect: Dialect) -> Bool {
    let byte = bytes[place]
    return byte == dialect.delimiter || byte == UInt8(ascii: "\n")
      || byte == UInt8(ascii: "\r") && place + 1 < bytes.count
        && bytes[place + 1] == UInt8(ascii: "\n")
  }
}
