/// Rows of cells for a terminal: the first column to the left, the others to the right.
package struct TextTable {
  private let columns: [Int]
  package private(set) var text = ""

  /// - Parameter columns: widths.
  package init(columns: [Int]) { self.columns = columns }

  package mutating func add(_ cells: [String]) {
    for (index, (cell, width)) in zip(cells, columns).enumerated() {
      let padding = String(repeating: " ", count: max(0, width - cell.count))
      text += index == 0 ? cell + padding : padding + cell
    }
    while text.last == " " { text.removeLast() }
    text += "\n"
  }
}
