package import Architecture

/// What a pass through decoder layers computes: rows, and the pairs that attention compares.
package struct SweepWork: Equatable, Sendable {
  /// Rows, counted once per layer.
  package private(set) var rows = 0
  /// Pairs of a row and one that it sees, itself included, over all layers.
  package private(set) var pairs = 0

  package init() {}

  /// Counts `rows` rows of one stream in one layer, behind `seen` earlier rows.
  package mutating func add(rows: Int, seen: Int) {
    self.rows += rows
    pairs += rows * seen + rows * (rows + 1) / 2
  }

  /// Counts the pairs of `rows` of a sequence, which are compared once more.
  package mutating func add(pairsOf rows: [Int]) {
    pairs += rows.reduce(0) { $0 + $1 + 1 }
  }

  package static func += (a: inout Self, b: Self) {
    a.rows += b.rows
    a.pairs += b.pairs
  }

  /// Floating-point operations in a decoder of this shape; embedding and head are not counted.
  package func operations(_ text: TextConfiguration) -> Double {
    let perRow =
      2 * Double(text.hiddenSize)
      * Double(2 * text.queryWidth + 2 * text.keyValueWidth + 3 * text.intermediateSize)
    return Double(rows) * perRow + 4 * Double(pairs) * Double(text.queryWidth)
  }

  /// The same of one prefill without withdrawal.
  package static func prefill(_ rowCount: Int, layerCount: Int) -> SweepWork {
    var work = SweepWork()
    for _ in 0..<layerCount { work.add(rows: rowCount, seen: 0) }
    return work
  }
}
