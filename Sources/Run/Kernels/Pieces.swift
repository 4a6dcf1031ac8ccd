/// Pieces of `0..<total` for threads that take one after another: large ones first, which read
/// memory in one go, and ever smaller ones, so that all threads finish at about the same time.
package struct Pieces: Sendable {
  private let total: Int
  private let largest: Int
  private let share: Int
  /// How many pieces there are.
  package let count: Int

  /// - Parameters:
  ///   - total: at least 0.
  ///   - largest: of a piece; at least 1 is taken.
  package init(of total: Int, atMost largest: Int, threads: Int) {
    self.total = total
    self.largest = max(1, largest)
    share = 2 * threads
    var rest = total, count = 0
    while rest > 0 {
      rest -= Self.next(rest, self.largest, share)
      count += 1
    }
    self.count = count
  }

  private static func next(_ rest: Int, _ largest: Int, _ share: Int) -> Int {
    min(largest, max(1, rest / share))
  }

  /// Piece `index`, below `count`.
  package subscript(_ index: Int) -> Range<Int> {
    var rest = total
    for _ in 0..<index { rest -= Self.next(rest, largest, share) }
    return total - rest..<total - rest + Self.next(rest, largest, share)
  }
}
