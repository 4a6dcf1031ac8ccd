/// Cuts a template into text and tags, with the white-space rules that Hugging Face renders with
/// (`trim_blocks` and `lstrip_blocks`), and the tags into tokens.
struct JinjaLexer {
  private let source: [Unicode.Scalar]
  private var place = 0

  static func segments(of template: String) throws(JinjaError) -> [JinjaSegment] {
    var lexer = JinjaLexer(template)
    return try lexer.segments()
  }

  private init(_ template: String) {
    var source: [Unicode.Scalar] = []
    for scalar in template.unicodeScalars {
      if scalar == "\n", source.last == "\r" { source.removeLast() }
      source.append(scalar)
    }
    if source.last == "\n" { source.removeLast() }
    self.source = source
  }

  private mutating func segments() throws(JinjaError) -> [JinjaSegment] {
    var segments: [JinjaSegment] = []
    var text: [Unicode.Scalar] = []
    // Whether `text` begins at the beginning of a line.
    var beginsLine = true
    func flush() {
      if !text.isEmpty { segments.append(.text(JinjaLexer.string(text))) }
      text = []
    }
    while place < source.count {
      guard source[place] == "{", let kind = scalar(place + 1), "{%#".unicodeScalars.contains(kind)
      else {
        text.append(source[place])
        place += 1
        continue
      }
      place += 2
      if accept("-") {
        while let last = text.last, last.properties.isWhitespace { text.removeLast() }
      } else if accept("+") {
        // Keeps the white space.
      } else if kind != "{" {
        let indent = text.reversed().prefix { $0 == " " || $0 == "\t" }.count
        if indent == text.count ? beginsLine : text[text.count - indent - 1] == "\n" {
          text.removeLast(indent)
        }
      }
      flush()
      let trimsAll: Bool
      if kind == "#" {
        trimsAll = try skipComment()
      } else {
        let (tokens, trims) = try tokens(closing: kind == "{" ? "}" : "%")
        segments.append(kind == "{" ? .output(tokens) : .statement(tokens))
        trimsAll = trims
      }
      beginsLine = false
      if trimsAll {
        while let next = scalar(place), next.properties.isWhitespace {
          beginsLine = next == "\n"
          place += 1
        }
      } else if kind != "{" {
        beginsLine = accept("\n")
      }
    }
    flush()
    return segments
  }

  /// - Returns: Whether the comment ends with `-#}`.
  private mutating func skipComment() throws(JinjaError) -> Bool {
    while place + 1 < source.count {
      if source[place] == "#", source[place + 1] == "}" {
        let trims = source[place - 1] == "-"
        place += 2
        return trims
      }
      place += 1
    }
    throw JinjaError("a comment does not end")
  }

  /// The tokens up to `}}` or `%}`, and whether a `-` before it takes the white space behind.
  private mutating func tokens(
    closing: Unicode.Scalar
  ) throws(JinjaError) -> ([JinjaToken], trimsAll: Bool) {
    var tokens: [JinjaToken] = []
    var depth = 0
    while let next = scalar(place) {
      if next.properties.isWhitespace {
        place += 1
      } else if next == closing, scalar(place + 1) == "}", depth == 0 {
        place += 2
        return (tokens, false)
      } else if next == "-", scalar(place + 1) == closing, scalar(place + 2) == "}", depth == 0 {
        place += 3
        return (tokens, true)
      } else if next == "'" || next == "\"" {
        tokens.append(.string(try quoted(next)))
      } else if "0"..."9" ~= next {
        tokens.append(.integer(try integer()))
      } else if next == "_" || next.properties.isAlphabetic {
        var name: [Unicode.Scalar] = []
        while let part = scalar(place),
          part == "_" || part.properties.isAlphabetic || "0"..."9" ~= part
        {
          name.append(part)
          place += 1
        }
        tokens.append(.name(JinjaLexer.string(name)))
      } else {
        let symbol = try symbol(next)
        if ["(", "[", "{"].contains(symbol) { depth += 1 }
        if [")", "]", "}"].contains(symbol) { depth -= 1 }
        tokens.append(.symbol(symbol))
      }
    }
    throw JinjaError("a tag does not end")
  }

  private mutating func symbol(_ first: Unicode.Scalar) throws(JinjaError) -> String {
    if let second = scalar(place + 1) {
      let pair = JinjaLexer.string([first, second])
      if ["==", "!=", "<=", ">=", "//", "**"].contains(pair) {
        place += 2
        return pair
      }
    }
    guard "()[]{}.,:|+-*/%~<>=".unicodeScalars.contains(first) else {
      throw JinjaError("'\(first)' is unknown")
    }
    place += 1
    return String(Character(first))
  }

  private mutating func integer() throws(JinjaError) -> Int {
    var value = 0
    while let digit = scalar(place), "0"..."9" ~= digit {
      guard value < 1_000_000 else { throw JinjaError("a number is too large") }
      value = 10 * value + Int(digit.value) - 48
      place += 1
    }
    return value
  }

  /// A string in quotes, with the escapes of Python; one that Python does not know stays as it is.
  private mutating func quoted(_ quote: Unicode.Scalar) throws(JinjaError) -> String {
    place += 1
    var content: [Unicode.Scalar] = []
    while let next = scalar(place) {
      place += 1
      if next == quote { return JinjaLexer.string(content) }
      guard next == "\\", let escaped = scalar(place) else {
        content.append(next)
        continue
      }
      place += 1
      switch escaped {
      case "n": content.append("\n")
      case "t": content.append("\t")
      case "r": content.append("\r")
      case "\\", "'", "\"": content.append(escaped)
      case "x": content.append(try hexadecimal(2))
      case "u": content.append(try hexadecimal(4))
      default: content += [next, escaped]
      }
    }
    throw JinjaError("a string does not end")
  }

  private mutating func hexadecimal(_ count: Int) throws(JinjaError) -> Unicode.Scalar {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let digit = scalar(place).flatMap({ Character($0).hexDigitValue }) else {
        throw JinjaError("an escape in a string is wrong")
      }
      value = value << 4 | UInt32(digit)
      place += 1
    }
    guard let scalar = Unicode.Scalar(value) else {
      throw JinjaError("an escape in a string is wrong")
    }
    return scalar
  }

  private func scalar(_ place: Int) -> Unicode.Scalar? {
    place < source.count ? source[place] : nil
  }

  private mutating func accept(_ wanted: Unicode.Scalar) -> Bool {
    guard scalar(place) == wanted else { return false }
    place += 1
    return true
  }

  private static func string(_ scalars: [Unicode.Scalar]) -> String {
    var text = ""
    text.unicodeScalars.append(contentsOf: scalars)
    return text
  }
}
