package import Architecture
package import Kernels

/// Rows on their way through the decoder, each with its position and class.
package struct DecoderRows {
  /// `[rows, hiddenSize]`.
  package var hidden: Rows
  /// Place of each row in the full sequence; kept when other rows are withdrawn.
  package var positions: [Int32]
  package var classes: [TokenClass]

  package init(hidden: Rows, positions: [Int32], classes: [TokenClass]) {
    self.hidden = hidden
    self.positions = positions
    self.classes = classes
  }

  package var count: Int { classes.count }

  /// Drops the rows whose class is not in `mask` and closes the gaps, keeping the order: this is
  /// visual token withdrawal.  Positions stay as they were, so the image leaves a gap.
  package mutating func withdraw(allBut mask: ClassMask) {
    guard classes.contains(where: { !mask.contains($0) }) else { return }
    var kept = 0
    for row in 0..<count where mask.contains(classes[row]) {
      if kept < row { hidden[kept..<kept + 1].copyRows(from: hidden[row..<row + 1]) }
      positions[kept] = positions[row]
      classes[kept] = classes[row]
      kept += 1
    }
    positions.removeLast(count - kept)
    hidden = hidden[0..<kept]
    classes.removeLast(count - kept)
  }

  /// Moves the rows whose class is in `mask` behind the others, each kind in its order: they are
  /// frozen, and the others lie together for the layer's products.
  package mutating func freeze(_ mask: ClassMask) -> SegmentRows {
    let order = FrozenOrder(classes.map { mask.contains($0) })
    if order.frozenCount > 0 { arrange(order.places) }
    return SegmentRows(
      live: hidden[0..<order.liveCount], frozen: hidden[order.liveCount..<count],
      positions: Array(positions[..<order.liveCount]),
      frozenPositions: Array(positions[order.liveCount...]),
      order: order.frozenCount > 0 ? order : nil)
  }

  /// Brings rows back to the order of the sequence.
  package mutating func restore(_ segment: SegmentRows) {
    guard let order = segment.order else { return }
    var ranks = order.places
    for (rank, place) in order.places.enumerated() { ranks[place] = rank }
    arrange(ranks)
  }

  /// Puts the rows at `places` one behind the other.
  private mutating func arrange(_ places: [Int]) {
    let arranged = Rows(count: count, width: hidden.width)
    arranged.copyRows(places, of: hidden)
    hidden.copyRows(from: arranged)
    positions = places.map { positions[$0] }
    classes = places.map { classes[$0] }
  }
}

/// The rows of one sequence as the layers of a segment see them.
package struct SegmentRows {
  /// Rows that are updated, `[rows, hiddenSize]`, and frozen ones.
  let live: Rows
  let frozen: Rows
  /// Places in the full sequence.
  let positions: [Int32]
  let frozenPositions: [Int32]
  /// How both follow each other; nil without frozen rows.
  let order: FrozenOrder?
}

/// How rows that are updated and frozen rows follow each other in a sequence.
package struct FrozenOrder: Equatable, Sendable {
  /// Rows of one kind in a row.
  struct Run: Equatable, Sendable {
    var isFrozen: Bool
    /// Among the rows of its kind.
    var rows: Range<Int>
  }

  let runs: [Run]
  package let liveCount: Int
  package let frozenCount: Int

  /// - Parameter frozen: for each row of the sequence, in order, whether it is frozen.
  package init(_ frozen: [Bool]) {
    var runs: [Run] = []
    var counts = [false: 0, true: 0]
    for isFrozen in frozen {
      let next = counts[isFrozen, default: 0]
      counts[isFrozen] = next + 1
      if let last = runs.last, last.isFrozen == isFrozen {
        runs[runs.count - 1].rows = last.rows.lowerBound..<next + 1
      } else {
        runs.append(Run(isFrozen: isFrozen, rows: next..<next + 1))
      }
    }
    self.runs = runs
    liveCount = counts[false] ?? 0
    frozenCount = counts[true] ?? 0
  }

  /// Places in the sequence: of the rows that are updated, then of the frozen ones.
  var places: [Int] {
    var live: [Int] = []
    var frozen: [Int] = []
    var place = 0
    for run in runs {
      let range = place..<place + run.rows.count
      if run.isFrozen { frozen += range } else { live += range }
      place = range.upperBound
    }
    return live + frozen
  }
}
