/// Rows of cells for a terminal: the first column to the left, the others to the right.
struct TextTable {
  private let columns: [Int]
  private(set) var text = ""

  /// - Parameter columns: widths.
  init(columns: [Int]) { self.columns = columns }

  mutating func add(_ cells: [String]) {
    for (index, (cell, width)) in zip(cells, columns).enumerated() {
      let padding = String(repeating: " ", count: max(0, width - cell.count))
      text += index == 0 ? cell + padding : padding + cell
    }
    while text.last == " " { text.removeLast() }
    text += "\n"
  }
}
