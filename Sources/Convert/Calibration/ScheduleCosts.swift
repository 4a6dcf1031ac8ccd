package import Architecture

/// What a schedule shall be cheap in.
package enum ScheduleObjective: String, CaseIterable, Sendable {
  case flops
  /// Bytes of keys and values.
  case kv
  /// Measured seconds of a prefill.
  case time
}

/// What schedules cost in a prompt of one image.
package struct ScheduleCosts: Equatable, Sendable {
  /// Seconds of one layer, by what becomes of visual rows.
  package struct LayerSeconds: Equatable, Sendable {
    package var full: Double
    package var frozen: Double
    package var withdrawn: Double

    package init(full: Double, frozen: Double, withdrawn: Double) {
      self.full = full
      self.frozen = frozen
      self.withdrawn = withdrawn
    }

    package subscript(state: ScheduleProfile.VisualState) -> Double {
      switch state {
      case .full: full
      case .frozen: frozen
      case .withdrawn: withdrawn
      }
    }
  }

  /// Costs in the order in which schedules are compared: by the objective, then by operations.
  package struct Price: Comparable, Sendable {
    package var objective: Double
    package var operations: Double

    package init(objective: Double, operations: Double) {
      self.objective = objective
      self.operations = operations
    }

    package static func < (a: Self, b: Self) -> Bool {
      (a.objective, a.operations) < (b.objective, b.operations)
    }
  }

  private let configuration: ModelConfiguration
  private let textRows: Int
  private let keyValueRowBytes: Int
  package let objective: ScheduleObjective
  /// Where the objective is time.
  package let seconds: LayerSeconds?

  package init(
    _ configuration: ModelConfiguration, keyValueRowBytes: Int, textRows: Int,
    objective: ScheduleObjective = .flops, seconds: LayerSeconds? = nil
  ) {
    self.configuration = configuration
    self.keyValueRowBytes = keyValueRowBytes
    self.textRows = textRows
    self.objective = objective
    self.seconds = seconds
  }

  package typealias States = [ScheduleProfile.VisualState]

  /// Shares of the decoder's prefill and of the rows of keys and values without withdrawal.
  package func ratios(_ states: States) -> (operations: Double, keyValue: Double) {
    ScheduleProfile(name: "", states: states).costRatios(configuration, textRows: textRows)
  }

  /// The share of the decoder's prefill in prompts like these, whose rows are taken as one prompt's
  /// mean: attention within a prompt is a small part.
  package func operations(_ states: States, in rows: PromptRows) -> Double {
    let images = Double(configuration.rowsOfLargestImage)
    guard rows.visual > 0, images > 0 else { return 1 }
    let textPerImage = Double(rows.text) / Double(rows.visual) * images
    return ScheduleProfile(name: "", states: states).costRatios(
      configuration, textRows: Int(textPerImage.rounded())
    ).operations
  }

  package func keyValueBytes(_ states: States) -> Int {
    let visualRows = configuration.rowsOfLargestImage
    let kept = states.count { $0 != .withdrawn }
    return (states.count * textRows + kept * visualRows) * keyValueRowBytes
  }

  package func price(_ states: States) -> Price {
    let ratios = ratios(states)
    let objective =
      switch objective {
      case .flops: ratios.operations
      case .kv: ratios.keyValue
      case .time:
        seconds.map { seconds in states.reduce(0) { $0 + seconds[$1] } } ?? ratios.operations
      }
    return Price(objective: objective, operations: ratios.operations)
  }
}
