import Architecture
import Kernels
import Statistics

/// Where the image goes in one sample, while it is measured: sums over rows in the order of the
/// rows, so they do not depend on the samples beside it.
package struct MigrationSums {
  /// The prompt's last row: from there on, rows are answer positions.
  private let firstAnswerRow: Int
  /// By layer, group and quantity.
  private var sums: [[[Double]]]

  package init(layerCount: Int, firstAnswerRow: Int) {
    self.firstAnswerRow = firstAnswerRow
    let zeros = MigrationQuantity.allCases.map { _ in 0.0 }
    sums = Array(
      repeating: MigrationGroup.allCases.map { _ in zeros }, count: layerCount)
  }

  private func group(_ row: Int) -> MigrationGroup { row < firstAnswerRow ? .question : .answer }

  private mutating func add(
    _ value: Double, _ quantity: MigrationQuantity, _ row: Int, _ layer: Int
  ) {
    sums[layer][group(row).rawValue][quantity.rawValue] += value
  }

  /// Adds how `rows` of the sequence look at the classes of rows in `layer`.
  ///
  /// - Parameter shares: by row and raw value of the class.
  mutating func add(shares: [[Double]], of rows: [Int], in layer: Int) {
    for (shares, row) in zip(shares, rows) {
      for tokenClass in TokenClass.allCases {
        add(shares[Int(tokenClass.rawValue)], tokenClass.quantity, row, layer)
      }
    }
  }

  /// Adds how far `rows` of the sequence, as they leave `layer`, are from those of the full pass.
  ///
  /// - Parameters:
  ///   - withdrawn, full: `[rows, hiddenSize]`.
  mutating func add(withdrawn: Rows, full: Rows, of rows: [Int], in layer: Int) {
    let (x, y) = (withdrawn.span, full.span)
    for (place, row) in rows.enumerated() {
      var difference = 0.0
      var length = 0.0
      for index in place * full.width..<(place + 1) * full.width {
        let value = Double(y[index])
        let change = Double(x[index]) - value
        difference += change * change
        length += value * value
      }
      let change = difference == 0 ? 0 : (difference / length).squareRoot()
      add(change, .change, row, layer)
    }
  }

  /// The sums, each rounded once, of a sample whose text rows behind the first image are `rows`.
  func sample(_ rows: [Int]) -> SampleMigration {
    func group(_ group: MigrationGroup) -> SampleMigration.Sums {
      SampleMigration.Sums(
        rowCount: rows.count { self.group($0) == group },
        ticks: sums.map { $0[group.rawValue].map(DivergenceSum.ticks) })
    }
    return SampleMigration(question: group(.question), answer: group(.answer))
  }
}

extension TokenClass {
  /// Where attention on rows of this class is counted.
  fileprivate var quantity: MigrationQuantity {
    switch self {
    case .system: .system
    case .user: .question
    case .generated: .answer
    case .visual: .visual
    }
  }
}
