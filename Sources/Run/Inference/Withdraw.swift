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
}
