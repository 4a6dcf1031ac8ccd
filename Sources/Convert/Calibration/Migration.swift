import Statistics

/// What is measured of a text row in a layer.
package enum MigrationQuantity: Int, CaseIterable, Sendable {
  /// Shares of its attention, mean over heads, on the rows of each class; they add up to 1.
  case system
  case visual
  case question
  case answer
  /// ‖x − y‖ / ‖y‖ of the row as it leaves the layer, y in the full pass and x if visual rows are
  /// withdrawn on entry to this layer.
  case change

  /// The name in records.
  package var name: String { "\(self)" }
}

/// Text rows behind the first image, by what they are for.
package enum MigrationGroup: Int, CaseIterable, Sendable {
  /// Rows before the answer positions.
  case question
  /// The answer positions: the prompt's last row and the rows of the answer.
  case answer

  package var name: String { "\(self)" }
}

/// What one sample shows of where the image goes: sums over the rows of each group.
package struct SampleMigration: Equatable, Sendable {
  /// Sums over `rowCount` rows.
  package struct Sums: Equatable, Sendable {
    package var rowCount: Int
    /// By layer and `MigrationQuantity`, in the unit of `DivergenceSum`.
    package var ticks: [[UInt64]]

    package init(rowCount: Int, ticks: [[UInt64]]) {
      self.rowCount = rowCount
      self.ticks = ticks
    }
  }

  package var question: Sums
  package var answer: Sums

  package init(question: Sums, answer: Sums) {
    self.question = question
    self.answer = answer
  }

  package subscript(_ group: MigrationGroup) -> Sums {
    switch group {
    case .question: question
    case .answer: answer
    }
  }
}

/// Means over the rows of a group, layer by layer.
package struct MigrationRows: Equatable, Sendable {
  package var rowCount: Int
  /// By `MigrationQuantity` and layer.
  private var means: [[Double]]

  /// By layer.
  package subscript(_ quantity: MigrationQuantity) -> [Double] { means[quantity.rawValue] }

  /// - Parameter means: by quantity, in the order of its cases, and layer.
  package init(rowCount: Int, means: [[Double]]) {
    precondition(means.count == MigrationQuantity.allCases.count, "\(means.count) quantities")
    self.rowCount = rowCount
    self.means = means
  }

  /// Means of the sums of `samples`; their order does not matter.
  init(_ samples: [SampleMigration.Sums], layerCount: Int) {
    let rows = samples.reduce(0) { $0 + $1.rowCount }
    self.init(
      rowCount: rows,
      means: MigrationQuantity.allCases.map { quantity in
        (0..<layerCount).map { layer in
          let sum = samples.reduce(0 as UInt128) {
            $0 + UInt128($1.ticks[layer][quantity.rawValue])
          }
          return Double(sum) * DivergenceSum.tick / Double(max(1, rows))
        }
      })
  }
}

/// Where the image goes in one task.
package struct TaskMigration: Equatable, Sendable {
  package var name: String
  package var question: MigrationRows
  package var answer: MigrationRows

  package init(name: String, question: MigrationRows, answer: MigrationRows) {
    self.name = name
    self.question = question
    self.answer = answer
  }

  package subscript(_ group: MigrationGroup) -> MigrationRows {
    switch group {
    case .question: question
    case .answer: answer
    }
  }

  init(name: String, _ samples: [SampleMigration], layerCount: Int) {
    self.init(
      name: name, question: MigrationRows(samples.map(\.question), layerCount: layerCount),
      answer: MigrationRows(samples.map(\.answer), layerCount: layerCount))
  }
}

/// Where the image goes: how text rows look at the rows of each class, and what they lose if the
/// image is missing from a layer on, layer by layer.
package struct Migration: Equatable, Sendable {
  /// By name.
  package var tasks: [TaskMigration]
  /// All samples together.
  package var pooled: TaskMigration

  package init(tasks: [TaskMigration], pooled: TaskMigration) {
    self.tasks = tasks
    self.pooled = pooled
  }

  /// Means over `samples`; nil if it was measured of none of them.
  package init?(_ samples: [SampleDivergence], layerCount: Int) {
    let measured = samples.filter { $0.migration != nil }
    guard !measured.isEmpty else { return nil }
    func task(_ name: String, _ samples: [SampleDivergence]) -> TaskMigration {
      TaskMigration(name: name, samples.compactMap(\.migration), layerCount: layerCount)
    }
    let byTask = Dictionary(grouping: measured, by: \.task)
    self.init(
      tasks: byTask.keys.sorted().map { task($0, byTask[$0] ?? []) },
      pooled: task("all", measured))
  }
}
