/// Finds special tokens in text: the leftmost first, of several at one place the longest.
struct SpecialMatcher: Sendable {
  struct Match: Equatable {
    var range: Range<Int>
    var id: Int32
  }

  /// A trie over bytes: (node << 8 | byte) -> node.
  private var children: [Int: Int] = [:]
  /// Id of the token that ends at each node, or -1.
  private var ends: [Int32] = [-1]
  /// Whether some token begins with the byte.
  private var begins = Array(repeating: false, count: 256)
  private let stripsLeft: Bool
  private let stripsRight: Bool

  /// - Parameters:
  ///   - stripsLeft: a match takes the white space before it along.
  ///   - stripsRight: a match takes the white space behind it along.
  init(stripsLeft: Bool = false, stripsRight: Bool = false) {
    self.stripsLeft = stripsLeft
    self.stripsRight = stripsRight
  }

  var isEmpty: Bool { ends.count == 1 }

  /// Adds a token of at least one byte; a later one of the same bytes takes its place.
  ///
  /// - Returns: The id that the bytes had before.
  @discardableResult mutating func insert(_ bytes: [UInt8], id: Int32) -> Int32? {
    guard let first = bytes.first else { return nil }
    begins[Int(first)] = true
    var node = 0
    for byte in bytes {
      let key = node << 8 | Int(byte)
      if let child = children[key] {
        node = child
      } else {
        node = ends.count
        ends.append(-1)
        children[key] = node
      }
    }
    defer { ends[node] = id }
    return ends[node] < 0 ? nil : ends[node]
  }

  /// Matches inside `text[range]`, in order and without overlap.
  func matches(in text: [UInt8], _ range: Range<Int>) -> [Match] {
    if isEmpty { return [] }
    var matches: [Match] = []
    var place = range.lowerBound
    var previousEnd = range.lowerBound
    while place < range.upperBound {
      guard begins[Int(text[place])],
        let found = longestMatch(in: text, at: place, limit: range.upperBound)
      else {
        place += 1
        continue
      }
      place = found.range.upperBound
      var start = found.range.lowerBound
      var end = place
      if stripsLeft {
        while start > previousEnd,
          let space = whiteSpace(endingAt: start, in: text, from: previousEnd)
        {
          start = space
        }
      }
      if stripsRight {
        while let space = whiteSpace(startingAt: end, in: text, limit: range.upperBound) {
          end = space
        }
      }
      matches.append(Match(range: max(start, previousEnd)..<end, id: found.id))
      previousEnd = end
      place = max(place, end)
    }
    return matches
  }

  private func longestMatch(in text: [UInt8], at start: Int, limit: Int) -> Match? {
    var best: Match?
    var node = 0
    var place = start
    while place < limit, let child = children[node << 8 | Int(text[place])] {
      node = child
      place += 1
      if ends[node] >= 0 { best = Match(range: start..<place, id: ends[node]) }
    }
    return best
  }

  private func whiteSpace(startingAt place: Int, in text: [UInt8], limit: Int) -> Int? {
    guard place < limit else { return nil }
    let (scalar, end) = decodeScalar(text, at: place)
    return end <= limit && scalar.properties.isWhitespace ? end : nil
  }

  private func whiteSpace(endingAt place: Int, in text: [UInt8], from start: Int) -> Int? {
    var first = place - 1
    while first > start, text[first] & 0xC0 == 0x80 { first -= 1 }
    let (scalar, end) = decodeScalar(text, at: first)
    return end == place && scalar.properties.isWhitespace ? first : nil
  }
}

/// The scalar that begins at byte `place` of valid UTF-8, and the place behind it.
///
/// Bytes that are not UTF-8 give U+FFFD and move on by at least one; nothing traps.
func decodeScalar(_ text: [UInt8], at place: Int) -> (Unicode.Scalar, end: Int) {
  let first = text[place]
  if first < 0x80 { return (Unicode.Scalar(first), place + 1) }
  let count = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
  guard first >= 0xC2, place + count <= text.count else { return ("\u{FFFD}", place + 1) }
  var value = UInt32(first) & (0x7F >> UInt32(count))
  for i in 1..<count { value = value << 6 | UInt32(text[place + i] & 0x3F) }
  return (Unicode.Scalar(value) ?? "\u{FFFD}", place + count)
}
