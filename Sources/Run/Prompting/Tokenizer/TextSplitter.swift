package import Architecture

/// Cuts text into the parts that byte-level BPE merges separately.
///
/// Each rule is a regular expression of the tokenizer that brought it up, matched here by hand on
/// Unicode scalars: at every place the first alternative that fits wins, each as greedy as its
/// pattern says.  `\p{L}` and `\p{N}` are general categories, `\s` is the property White_Space.
///
/// - `gpt2`: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
/// - `llama3`: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}`
///   `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
/// - `qwen2`: the same with `\p{N}` for `\p{N}{1,3}`
/// - `digitsGPT2`: every `\p{N}` is cut out first, then `gpt2` on what lies between
package struct TextSplitter {
  private enum Kind: UInt8 {
    case letter
    case number
    /// CR or LF.
    case newline
    /// Other white space.
    case space
    case other
  }

  private let rule: TokenizerModel.Splitter
  private var kinds: [Kind] = []
  /// Scalar i lies at bytes `places[i]..<places[i + 1]`.
  private var places: [Int] = []
  private var scalars: [Unicode.Scalar] = []

  package init(_ rule: TokenizerModel.Splitter) { self.rule = rule }

  /// The parts of `text`, which is UTF-8, in order; together they are all of it.
  package mutating func parts(of text: [UInt8]) -> [Range<Int>] {
    if text.isEmpty { return [] }
    if rule == .none { return [0..<text.count] }
    classify(text)
    var parts: [Range<Int>] = []
    var start = 0
    while start < kinds.count {
      let limit = rule == .digitsGPT2 ? endOfDigitsPart(from: start) : kinds.count
      while start < limit {
        let end =
          rule == .llama3 || rule == .qwen2
          ? endOfLlamaPart(from: start, limit: limit) : endOfGPT2Part(from: start, limit: limit)
        parts.append(places[start]..<places[end])
        start = end
      }
    }
    return parts
  }

  private mutating func classify(_ text: [UInt8]) {
    kinds.removeAll(keepingCapacity: true)
    places.removeAll(keepingCapacity: true)
    scalars.removeAll(keepingCapacity: true)
    var place = 0
    while place < text.count {
      let (scalar, end) = decodeScalar(text, at: place)
      places.append(place)
      scalars.append(scalar)
      kinds.append(TextSplitter.kind(of: scalar))
      place = end
    }
    places.append(text.count)
  }

  private static func kind(of scalar: Unicode.Scalar) -> Kind {
    if scalar.isASCII {
      switch scalar {
      case "a"..."z", "A"..."Z": return .letter
      case "0"..."9": return .number
      case "\r", "\n": return .newline
      case " ", "\t", "\u{B}", "\u{C}": return .space
      default: return .other
      }
    }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return .letter
    case .decimalNumber, .letterNumber, .otherNumber: return .number
    default: return scalar.properties.isWhitespace ? .space : .other
    }
  }

  /// The end of the digit at `start`, or of the text up to the next one.
  private func endOfDigitsPart(from start: Int) -> Int {
    if kinds[start] == .number { return start + 1 }
    return run(from: start, limit: kinds.count) { $0 != .number }
  }

  private func endOfGPT2Part(from start: Int, limit: Int) -> Int {
    if let end = endOfContraction(from: start, limit: limit, ignoresCase: false) { return end }
    let first = scalars[start] == " " && start + 1 < limit ? start + 1 : start
    switch kinds[first] {
    case .letter, .number, .other:
      let kind = kinds[first]
      return run(from: first, limit: limit) { $0 == kind }
    case .newline, .space: return endOfSpace(from: start, limit: limit)
    }
  }

  private func endOfLlamaPart(from start: Int, limit: Int) -> Int {
    if let end = endOfContraction(from: start, limit: limit, ignoresCase: true) { return end }
    switch kinds[start] {
    case .letter: return run(from: start, limit: limit) { $0 == .letter }
    case .number:
      return rule == .qwen2
        ? start + 1 : run(from: start, limit: min(limit, start + 3)) { $0 == .number }
    case .space, .other:
      if start + 1 < limit, kinds[start + 1] == .letter {
        return run(from: start + 1, limit: limit) { $0 == .letter }
      }
    case .newline: break
    }
    let first = scalars[start] == " " && start + 1 < limit ? start + 1 : start
    if kinds[first] == .other {
      let end = run(from: first, limit: limit) { $0 == .other }
      return run(from: end, limit: limit) { $0 == .newline }
    }
    // Only white space is left: up to its last line break, if it has one.
    let end = run(from: start, limit: limit) { $0 == .newline || $0 == .space }
    if let newline = kinds[start..<end].lastIndex(of: .newline) { return newline + 1 }
    return endOfSpace(from: start, limit: limit)
  }

  /// `\s+(?!\S)|\s+`: all white space at the end of the text, else all but the last scalar, which
  /// is left for the word behind it.
  private func endOfSpace(from start: Int, limit: Int) -> Int {
    let end = run(from: start, limit: limit) { $0 == .newline || $0 == .space }
    return end == limit || end - start == 1 ? end : end - 1
  }

  /// `'s|'t|'re|'ve|'m|'ll|'d`.  Without case, U+017F (long s) is an s too.
  private func endOfContraction(from start: Int, limit: Int, ignoresCase: Bool) -> Int? {
    guard scalars[start] == "'", start + 1 < limit else { return nil }
    func letter(_ i: Int) -> Unicode.Scalar? {
      guard i < limit else { return nil }
      let scalar = scalars[i]
      guard ignoresCase else { return scalar }
      if scalar == "\u{17F}" { return "s" }
      return "A"..."Z" ~= scalar ? Unicode.Scalar(UInt8(scalar.value) + 32) : scalar
    }
    switch letter(start + 1) {
    case "s", "t", "m", "d": return start + 2
    case "r", "v": return letter(start + 2) == "e" ? start + 3 : nil
    case "l": return letter(start + 2) == "l" ? start + 3 : nil
    default: return nil
    }
  }

  private func run(from start: Int, limit: Int, while holds: (Kind) -> Bool) -> Int {
    var end = start
    while end < limit, holds(kinds[end]) { end += 1 }
    return end
  }
}
