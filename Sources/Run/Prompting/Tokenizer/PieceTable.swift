/// Looks up pieces by their bytes.
///
/// Open addressing over one flat array of bytes: a look-up allocates nothing and takes a range of
/// the caller's text, which a `Dictionary` keyed by strings or arrays cannot.
struct PieceTable: Sendable {
  private var text: [UInt8] = []
  /// Entry e is `text[starts[e]..<starts[e + 1]]`.
  private var starts: [Int] = [0]
  private var ids: [Int32] = []
  /// Entry + 1, or 0 where free; a power of two, at most half full.
  private var slots: [Int32]

  init(capacity: Int) {
    var size = 16
    while size < 2 * capacity { size *= 2 }
    slots = Array(repeating: 0, count: size)
    ids.reserveCapacity(capacity)
    starts.reserveCapacity(capacity + 1)
  }

  /// Adds a piece; at most `capacity` of them.
  ///
  /// - Returns: The id that has the same bytes already, or nil if the piece is new.
  mutating func insert(_ bytes: [UInt8], id: Int32) -> Int32? {
    var slot = hash(bytes, 0..<bytes.count) & (slots.count - 1)
    while slots[slot] != 0 {
      let entry = Int(slots[slot]) - 1
      if isEqual(entry, bytes, 0..<bytes.count) { return ids[entry] }
      slot = (slot + 1) & (slots.count - 1)
    }
    precondition(2 * ids.count < slots.count, "more than \(slots.count / 2) pieces")
    text.append(contentsOf: bytes)
    starts.append(text.count)
    ids.append(id)
    slots[slot] = Int32(ids.count)
    return nil
  }

  /// The id of the piece `bytes[range]`.
  func id(of bytes: [UInt8], _ range: Range<Int>) -> Int32? {
    var slot = hash(bytes, range) & (slots.count - 1)
    while slots[slot] != 0 {
      let entry = Int(slots[slot]) - 1
      if isEqual(entry, bytes, range) { return ids[entry] }
      slot = (slot + 1) & (slots.count - 1)
    }
    return nil
  }

  private func isEqual(_ entry: Int, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    let start = starts[entry]
    guard starts[entry + 1] - start == range.count else { return false }
    for i in 0..<range.count where text[start + i] != bytes[range.lowerBound + i] { return false }
    return true
  }

  /// Seeded per process, so that no file can be made whose pieces all collide.
  private func hash(_ bytes: [UInt8], _ range: Range<Int>) -> Int {
    var hasher = Hasher()
    unsafe bytes.withUnsafeBytes {
      unsafe hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: $0[range]))
    }
    return hasher.finalize()
  }
}
