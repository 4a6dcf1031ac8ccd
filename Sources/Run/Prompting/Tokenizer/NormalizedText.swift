import Architecture
@_spi(_Unicode) import Swift

/// A run of text as the merges see it, with the way back to the source.
struct NormalizedText {
  /// UTF-8; for the SentencePiece kinds with U+2581 where a space was.
  private(set) var bytes: [UInt8] = []
  /// By byte: the offset in the source behind what the byte came from.
  private(set) var sourceEnds: [Int] = []

  /// U+2581, LOWER ONE EIGHTH BLOCK: how SentencePiece writes a space.
  static let space: [UInt8] = [0xE2, 0x96, 0x81]

  /// Spaces of `source[range]` become U+2581.
  ///
  /// - Parameter prefixes: one more is put in front if anything is left of the run.
  init(
    escapingSpacesOf source: [UInt8], _ range: Range<Int>, prefixes: Bool,
    flags: TokenizerModel.Flags
  ) {
    let collapses = flags.contains(.removesExtraSpaces)
    bytes.reserveCapacity(range.count + range.count / 2 + 3)
    sourceEnds.reserveCapacity(range.count + range.count / 2 + 3)
    var range = range
    if collapses {
      while let first = source[range].first, first == UInt8(ascii: " ") { range.removeFirst() }
    }
    guard !range.isEmpty else { return }
    let keepsSpace =
      flags.contains(.keepsLeadingSpace)
      && (source[range.lowerBound] == UInt8(ascii: " ")
        || source[range].starts(with: NormalizedText.space))
    if prefixes && !keepsSpace { append(NormalizedText.space, end: range.lowerBound) }
    var followsSpace = false
    for place in range {
      let isSpace = source[place] == UInt8(ascii: " ")
      if !isSpace {
        append(source[place], end: place + 1)
      } else if !(collapses && followsSpace) {
        append(NormalizedText.space, end: place + 1)
      }
      followsSpace = isSpace
    }
    guard collapses else { return }
    while bytes.suffix(3).elementsEqual(NormalizedText.space) {
      bytes.removeLast(3)
      sourceEnds.removeLast(3)
    }
  }

  /// `source[range]` as it is, or in Unicode normalisation form C.
  init(of source: [UInt8], _ range: Range<Int>, normalizesNFC: Bool) {
    guard normalizesNFC, source[range].contains(where: { $0 >= 0x80 }) else {
      bytes = Array(source[range])
      sourceEnds = range.map { $0 + 1 }
      return
    }
    // No ASCII scalar composes with what comes before it, so a stretch may begin at each of them.
    var start = range.lowerBound
    while start < range.upperBound {
      var end = start + 1
      while end < range.upperBound, source[end] >= 0x80 { end += 1 }
      let stretch = source[start..<end]
      if end - start == 1 {
        append(source[start], end: end)
      } else {
        var composed: [UInt8] = []
        for scalar in Self.orderingMarks(of: String(decoding: stretch, as: UTF8.self))._nfc {
          composed.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        }
        if composed.elementsEqual(stretch) {
          for place in start..<end { append(source[place], end: place + 1) }
        } else {
          append(composed, end: end)
        }
      }
      start = end
    }
  }

  /// `text` with the combining marks of each run in their canonical order, which changes no
  /// normalisation form.
  ///
  /// The standard library orders them by insertion, so that a run of a hundred thousand, which anybody
  /// can paste, would take seconds.
  private static func orderingMarks(of text: String) -> String {
    var scalars = Array(text.unicodeScalars)
    var start = 0
    while start < scalars.count {
      var end = start
      while end < scalars.count, combiningClass(scalars[end]) != 0 { end += 1 }
      if end - start > 1 {
        let ordered = scalars[start..<end].enumerated().sorted { a, b in
          (combiningClass(a.element), a.offset) < (combiningClass(b.element), b.offset)
        }
        scalars.replaceSubrange(start..<end, with: ordered.map(\.element))
      }
      start = end + 1
    }
    var result = ""
    result.unicodeScalars.append(contentsOf: scalars)
    return result
  }

  private static func combiningClass(_ scalar: Unicode.Scalar) -> UInt8 {
    scalar.properties.canonicalCombiningClass.rawValue
  }

  private mutating func append(_ byte: UInt8, end: Int) {
    bytes.append(byte)
    sourceEnds.append(end)
  }

  private mutating func append(_ more: [UInt8], end: Int) {
    bytes.append(contentsOf: more)
    sourceEnds.append(contentsOf: repeatElement(end, count: more.count))
  }
}
