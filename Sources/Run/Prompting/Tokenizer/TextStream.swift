import Architecture

/// Decodes ids one by one; what it gives, joined, is what `Tokenizer.decode` gives for all of them.
///
/// Text is held back while it could still change: an unfinished UTF-8 sequence of a byte-level
/// vocabulary, and a run of byte pieces of a SentencePiece one.  As with Hugging Face, a whole run
/// of byte pieces that is not UTF-8 becomes one U+FFFD per byte, so it can be shown only once it
/// has ended; and the space that encoding put before the text is taken off again.
package struct TextStream {
  private let tokenizer: Tokenizer
  private let skipsSpecial: Bool
  /// Bytes that are not shown yet.
  private var pending: [UInt8] = []
  /// Whether the next text may begin with the space that encoding adds.
  private var stripsSpace: Bool

  package init(_ tokenizer: Tokenizer, skipsSpecial: Bool = true) {
    self.tokenizer = tokenizer
    self.skipsSpecial = skipsSpecial
    let flags = tokenizer.model.flags
    stripsSpace =
      tokenizer.model.kind != .byteLevel
      && (flags.contains(.prefixesSpace) || flags.contains(.prefixesFirstSpaceOnly))
  }

  /// The text that `id` completes, often that of `id` itself; empty for an id outside the
  /// vocabulary.
  package mutating func append(_ id: Int32) -> String {
    guard let piece = tokenizer.piece(id) else { return "" }
    if skipsSpecial, piece.kind == .control || piece.kind == .unknown { return "" }
    if tokenizer.model.kind == .byteLevel {
      pending.append(contentsOf: piece.bytes)
      let complete = pending.count - TextStream.unfinishedCount(pending)
      defer { pending.removeFirst(complete) }
      return String(decoding: pending[..<complete], as: UTF8.self)
    }
    if piece.kind == .byte {
      pending.append(contentsOf: piece.bytes)
      return ""
    }
    return stripped(byteRun() + TextStream.unescaped(piece.bytes))
  }

  /// What was held back, when no id follows.
  package mutating func finish() -> String {
    guard tokenizer.model.kind == .byteLevel else { return stripped(byteRun()) }
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// The text of the byte pieces held back.
  private mutating func byteRun() -> String {
    defer { pending = [] }
    return String(validating: pending, as: UTF8.self)
      ?? String(repeating: "\u{FFFD}", count: pending.count)
  }

  private mutating func stripped(_ text: String) -> String {
    guard stripsSpace, let first = text.unicodeScalars.first else { return text }
    stripsSpace = false
    return first == " " ? String(text.unicodeScalars.dropFirst()) : text
  }

  /// `bytes` with spaces for U+2581.
  private static func unescaped(_ bytes: [UInt8]) -> String {
    var text = ""
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
      text.unicodeScalars.append(scalar == "\u{2581}" ? " " : scalar)
    }
    return text
  }

  /// How many bytes at the end begin a UTF-8 sequence that more bytes could complete: 0...3.
  private static func unfinishedCount(_ bytes: [UInt8]) -> Int {
    for count in 1...3 where count <= bytes.count {
      let tail = bytes.suffix(count)
      guard let lead = tail.first, lead >= 0xC0 else { continue }
      let length = lead < 0xC2 || lead > 0xF4 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
      guard count < length else { return 0 }
      guard let second = tail.dropFirst().first else { return count }
      // Unicode, table 3-7: the second byte of these leads has a narrower range.
      let seconds: ClosedRange<UInt8> =
        switch lead {
        case 0xE0: 0xA0...0xBF
        case 0xED: 0x80...0x9F
        case 0xF0: 0x90...0xBF
        case 0xF4: 0x80...0x8F
        default: 0x80...0xBF
        }
      return seconds.contains(second) ? count : 0
    }
    return 0
  }
}
