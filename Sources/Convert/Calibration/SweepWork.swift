package import Architecture

/// What a pass through decoder layers computes: rows, and the pairs that attention compares.
package struct SweepWork: Equatable, Sendable {
  /// Rows, counted once per layer.
  package private(set) var rows = 0
  /// Frozen rows, of which only keys and values are computed, counted once per layer.
  package private(set) var frozenRows = 0
  /// Pairs of a row and one that it sees, itself included, over all layers.
  package private(set) var pairs = 0

  package init() {}

  /// Counts `rows` rows of one stream in one layer, behind `seen` earlier rows.
  package mutating func add(rows: Int, seen: Int) {
    self.rows += rows
    pairs += rows * seen + rows * (rows + 1) / 2
  }

  /// Counts `rows` of a sequence in one layer that holds all its rows, `frozen` of them frozen.
  package mutating func add(_ rows: [Int], frozen: Int) {
    self.rows += rows.count
    frozenRows += frozen
    add(pairsOf: rows)
  }

  /// Counts the pairs of `rows` of a sequence, which are compared once more.
  package mutating func add(pairsOf rows: [Int]) {
    pairs += rows.reduce(0) { $0 + $1 + 1 }
  }

  package static func += (a: inout Self, b: Self) {
    a.rows += b.rows
    a.frozenRows += b.frozenRows
    a.pairs += b.pairs
  }

  /// Floating-point operations in a decoder of this shape; embedding and head are not counted.
  package func operations(_ text: TextConfiguration) -> Double {
    let perRow =
      2 * Double(text.hiddenSize)
      * Double(2 * text.queryWidth + 2 * text.keyValueWidth + 3 * text.intermediateSize)
    let keysAndValues = 4 * Double(text.hiddenSize) * Double(text.keyValueWidth)
    return Double(rows) * perRow + Double(frozenRows) * keysAndValues
      + 4 * Double(pairs) * Double(text.queryWidth)
  }

  /// The same of one prefill without withdrawal.
  package static func prefill(_ rowCount: Int, layerCount: Int) -> SweepWork {
    var work = SweepWork()
    for _ in 0..<layerCount { work.add(rows: rowCount, seen: 0) }
    return work
  }
}
