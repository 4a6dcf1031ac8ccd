package import Architecture

/// A schedule that freezes visual rows in layers `freeze ..< withdraw` and then withdraws them.
///
/// `freeze` = `withdraw` = K is withdrawal at K.
package struct FreezePoint: Hashable, Comparable, Sendable {
  package var freeze: Int
  package var withdraw: Int

  package init(_ freeze: Int, _ withdraw: Int) {
    precondition(0 <= freeze && freeze <= withdraw, "frozen from \(freeze) to \(withdraw)")
    self.freeze = freeze
    self.withdraw = withdraw
  }

  /// What these states are; nil where rows freeze in another way.
  package init?(_ states: [ScheduleProfile.VisualState]) {
    let withdraw = states.firstIndex(of: .withdrawn) ?? states.count
    self.init(min(states.firstIndex { $0 != .full } ?? states.count, withdraw), withdraw)
    guard self.states(states.count) == states else { return nil }
  }

  /// Layer by layer what becomes of visual rows.
  package func states(_ layerCount: Int) -> [ScheduleProfile.VisualState] {
    (0..<layerCount).map { $0 < freeze ? .full : $0 < withdraw ? .frozen : .withdrawn }
  }

  /// In the order of `freeze`, then of `withdraw`.
  package static func < (a: Self, b: Self) -> Bool {
    (a.freeze, a.withdraw) < (b.freeze, b.withdraw)
  }
}

/// The schedules that freeze visual rows at one layer: they share all that comes before they
/// withdraw them.
package struct ScheduleFork: Equatable, Sendable {
  /// The first layer that freezes, in `0 ..< layerCount`.
  package var freeze: Int
  /// Where they withdraw: rising, from `freeze` to the layer count, which means never.
  package var ends: [Int]

  package init(freeze: Int, ends: [Int]) {
    self.freeze = freeze
    self.ends = ends
  }

  package var points: [FreezePoint] { ends.map { FreezePoint(freeze, $0) } }

  /// All forks that never withdraw.
  package static func freezing(layerCount: Int) -> [ScheduleFork] {
    (0..<layerCount).map { ScheduleFork(freeze: $0, ends: [layerCount]) }
  }

  /// Those that a search starts with: all in the first three eighths of the layers, where a cheap
  /// schedule freezes, and some of the others, for the picture.
  package static func searching(layerCount: Int) -> [ScheduleFork] {
    freezing(layerCount: layerCount).filter {
      8 * $0.freeze < 3 * layerCount || $0.freeze.isMultiple(of: max(1, layerCount / 8))
    }
  }

  /// All schedules of a model.
  package static func all(layerCount: Int) -> [ScheduleFork] {
    (0..<layerCount).map { ScheduleFork(freeze: $0, ends: Array($0...layerCount)) }
  }
}
