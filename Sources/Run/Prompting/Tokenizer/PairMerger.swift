/// Joins neighbouring symbols of a text, the best pair first, in O(n log n).
///
/// A linked list holds the symbols, a heap the pairs that could be joined.  A pair whose symbols
/// have changed since it was found is recognised by its byte count when it comes up.
struct PairMerger {
  /// A piece, or a part of text that is none (id -1).
  struct Symbol {
    var id: Int32
    var start: Int
    /// In bytes; 0 once the symbol was joined to the one before it.
    var count: Int
    fileprivate var previous: Int
    fileprivate var next: Int

    var range: Range<Int> { start..<start + count }
  }

  /// What two neighbours become; of several the lowest rank goes first, then the leftmost.
  struct Candidate {
    var rank: UInt32
    var id: Int32
  }

  /// A pair that could be joined, in 16 bytes, as a heap of them is walked much.
  private struct Entry {
    /// The rank above, the place of the left symbol below.
    private var order: UInt64
    var id: Int32
    /// Bytes of both.
    var count: Int32

    init(_ candidate: Candidate, left: Int, count: Int) {
      order = UInt64(candidate.rank) << 32 | UInt64(left)
      id = candidate.id
      self.count = Int32(truncatingIfNeeded: count)
    }

    var left: Int { Int(order & 0xFFFF_FFFF) }

    static func < (a: Entry, b: Entry) -> Bool { a.order < b.order }
  }

  private(set) var symbols: [Symbol] = []
  private var heap: [Entry] = []

  /// Begins a new text.
  mutating func clear() {
    symbols.removeAll(keepingCapacity: true)
  }

  mutating func append(id: Int32, start: Int, count: Int) {
    let index = symbols.count
    symbols.append(
      Symbol(id: id, start: start, count: count, previous: index - 1, next: index + 1))
  }

  /// Joins symbols of `text` until no pair is left.
  mutating func merge(_ text: [UInt8], by rules: MergeRules) {
    guard symbols.count > 1 else { return }
    heap.removeAll(keepingCapacity: true)
    for index in 1..<symbols.count { consider(index - 1, index, text, rules) }
    while let entry = popFirst() {
      let left = entry.left
      let right = symbols[left].next
      guard symbols[left].count > 0, right < symbols.count,
        symbols[left].count + symbols[right].count == Int(entry.count)
      else { continue }
      symbols[left].id = entry.id
      symbols[left].count = Int(entry.count)
      symbols[right].count = 0
      let next = symbols[right].next
      symbols[left].next = next
      let previous = symbols[left].previous
      if previous >= 0 { consider(previous, left, text, rules) }
      if next < symbols.count {
        symbols[next].previous = left
        consider(left, next, text, rules)
      }
    }
  }

  private mutating func consider(
    _ left: Int, _ right: Int, _ text: [UInt8], _ rules: MergeRules
  ) {
    guard let found = rules.candidate(symbols[left], symbols[right], in: text) else { return }
    let entry = Entry(found, left: left, count: symbols[left].count + symbols[right].count)
    var place = heap.count
    heap.append(entry)
    while place > 0 {
      let parent = (place - 1) / 2
      guard entry < heap[parent] else { break }
      heap[place] = heap[parent]
      place = parent
    }
    heap[place] = entry
  }

  private mutating func popFirst() -> Entry? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first }
    var place = 0
    while true {
      var child = 2 * place + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < last else { break }
      heap[place] = heap[child]
      place = child
    }
    heap[place] = last
    return first
  }
}
