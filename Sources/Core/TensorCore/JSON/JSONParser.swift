/// Caps that a document must keep; checked while it is read.
package struct JSONLimits: Sendable {
  package var byteCount: Int
  package var depth: Int
  package var valueCount: Int
  package var stringByteCount: Int
  /// Of one object: members take several times what other values do.
  package var memberCount: Int

  package init(
    byteCount: Int, depth: Int, valueCount: Int, stringByteCount: Int, memberCount: Int = .max
  ) {
    self.byteCount = byteCount
    self.depth = depth
    self.valueCount = valueCount
    self.stringByteCount = stringByteCount
    self.memberCount = memberCount
  }

  /// `config.json` and its siblings, tokenizers included: the largest of these, of half a million
  /// merges and a quarter of a million pieces, have two thirds of the values and half the members.
  package static let configuration = JSONLimits(
    byteCount: 64 << 20, depth: 64, valueCount: 3_000_000, stringByteCount: 1 << 20,
    memberCount: 1 << 19)
}

/// Where and why a text is not the JSON that RFC 8259 and our limits allow.
package struct JSONError: Error, Equatable {
  package var offset: Int
  package var problem: String
}

extension JSONValue {
  /// Parses exactly one document: UTF-8, no BOM, no duplicate keys, no trailing comma.
  ///
  /// Works without recursion, so depth costs no stack.
  package init(parsing bytes: [UInt8], limits: JSONLimits) throws(JSONError) {
    guard bytes.count <= limits.byteCount else {
      throw JSONError(
        offset: 0, problem: "\(bytes.count) bytes, more than the limit of \(limits.byteCount)")
    }
    guard !bytes.starts(with: [0xEF, 0xBB, 0xBF]) else {
      throw JSONError(offset: 0, problem: "a byte order mark before the document")
    }
    var parser = JSONParser(bytes: bytes, limits: limits)
    self = try parser.document()
  }

  /// Reads `bytes` that came from `file`, naming both file and place in an error.
  package init(
    parsing bytes: [UInt8], file: String, limits: JSONLimits = .configuration
  ) throws(InputError) {
    do {
      self = try JSONValue(parsing: bytes, limits: limits)
    } catch {
      throw InputError(file, "not valid JSON at byte \(error.offset): \(error.problem)")
    }
  }
}

private struct JSONParser {
  let bytes: [UInt8]
  let limits: JSONLimits
  var offset = 0
  var valueCount = 0

  /// A container that is still open; its values so far lie on `values` from `firstValue` on.
  private struct Frame {
    var isObject: Bool
    var firstValue: Int
    var firstKey: Int
  }

  func error(_ problem: String) -> JSONError { JSONError(offset: offset, problem: problem) }

  var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      offset += 1
    }
  }

  mutating func accept(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    offset += 1
    return true
  }

  mutating func document() throws(JSONError) -> JSONValue {
    var frames: [Frame] = []
    var values: [JSONValue] = []
    var keys: [String] = []
    skipSpace()
    while true {
      // Read one value; opening brackets push a frame and read on.
      valueCount += 1
      guard valueCount <= limits.valueCount else {
        throw error("more than \(limits.valueCount) values")
      }
      let isObject = next == UInt8(ascii: "{")
      if isObject || next == UInt8(ascii: "[") {
        offset += 1
        skipSpace()
        if accept(isObject ? "}" : "]") {
          values.append(isObject ? .object(JSONObject()) : .array([]))
        } else {
          guard frames.count < limits.depth else {
            throw error("nested deeper than \(limits.depth)")
          }
          frames.append(Frame(isObject: isObject, firstValue: values.count, firstKey: keys.count))
          if isObject { keys.append(try key()) }
          continue
        }
      } else {
        values.append(try scalar())
      }
      // The value is complete: go on in its container, closing every one that ends here.
      while true {
        skipSpace()
        guard let frame = frames.last else {
          guard offset == bytes.count else { throw error("text after the end of the document") }
          return values[0]
        }
        if accept(",") {
          skipSpace()
          if frame.isObject {
            guard keys.count - frame.firstKey < limits.memberCount else {
              throw error("an object has more than \(limits.memberCount) members")
            }
            keys.append(try key())
          }
          break
        }
        guard accept(frame.isObject ? "}" : "]") else {
          throw error(frame.isObject ? "',' or '}' expected" : "',' or ']' expected")
        }
        let container: JSONValue
        if frame.isObject {
          // The slices end with the statement: one that lives on has the stack copied when it
          // shrinks.
          guard
            let object = JSONObject(
              unique: zip(keys[frame.firstKey...], values[frame.firstValue...]))
          else { throw error("an object has two members of the same key") }
          keys.removeLast(keys.count - frame.firstKey)
          container = .object(object)
        } else {
          container = .array(Array(values[frame.firstValue...]))
        }
        values.removeLast(values.count - frame.firstValue)
        values.append(container)
        frames.removeLast()
      }
    }
  }

  /// A member's key and colon, up to the first byte of the value.
  private mutating func key() throws(JSONError) -> String {
    guard next == UInt8(ascii: "\"") else { throw error("a key in quotes expected") }
    let key = try string()
    skipSpace()
    guard accept(":") else { throw error("':' expected") }
    skipSpace()
    return key
  }

  private mutating func scalar() throws(JSONError) -> JSONValue {
    switch next {
    case nil: throw error("the document ends too early")
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try literal("true", .bool(true))
    case UInt8(ascii: "f"): return try literal("false", .bool(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    default: return try number()
    }
  }

  private mutating func literal(
    _ word: StaticString, _ value: JSONValue
  ) throws(JSONError) -> JSONValue {
    for character in word.description.utf8 {
      guard next == character else { throw error("a value expected") }
      offset += 1
    }
    return value
  }

  /// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
  private mutating func number() throws(JSONError) -> JSONValue {
    let start = offset
    _ = accept("-")
    if !accept("0") {
      guard digits() > 0 else { throw error("a value expected") }
    }
    var isInteger = true
    if accept(".") {
      isInteger = false
      guard digits() > 0 else { throw error("a digit expected") }
    }
    if accept("e") || accept("E") {
      isInteger = false
      if !accept("+") { _ = accept("-") }
      guard digits() > 0 else { throw error("a digit expected") }
    }
    let text = String(decoding: bytes[start..<offset], as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite else {
      offset = start
      throw error("number \(printable(text, limit: 40)) is out of range")
    }
    return .number(value)
  }

  private mutating func digits() -> Int {
    let start = offset
    while let byte = next, byte >= 0x30, byte <= 0x39 { offset += 1 }
    return offset - start
  }

  private mutating func string() throws(JSONError) -> String {
    offset += 1
    var content: [UInt8] = []
    while true {
      guard let byte = next else { throw error("a string does not end") }
      guard content.count <= limits.stringByteCount else {
        throw error("a string is longer than \(limits.stringByteCount) bytes")
      }
      offset += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: content, as: UTF8.self) else {
          throw error("a string is not UTF-8")
        }
        return text
      case UInt8(ascii: "\\"): content.append(contentsOf: try escape())
      case 0..<0x20:
        offset -= 1
        throw error("a control character in a string")
      default: content.append(byte)
      }
    }
  }

  private mutating func escape() throws(JSONError) -> [UInt8] {
    guard let byte = next else { throw error("a string does not end") }
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
    case UInt8(ascii: "b"): return [0x08]
    case UInt8(ascii: "f"): return [0x0C]
    case UInt8(ascii: "n"): return [0x0A]
    case UInt8(ascii: "r"): return [0x0D]
    case UInt8(ascii: "t"): return [0x09]
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if code >> 10 == 0x36 {  // a high surrogate needs its low half
        guard accept("\\"), accept("u") else { throw error("half a surrogate pair") }
        let low = try hexadecimal()
        guard low >> 10 == 0x37 else { throw error("half a surrogate pair") }
        code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
      }
      guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
      return Array(String(Character(scalar)).utf8)
    default:
      offset -= 1
      throw error("an unknown escape in a string")
    }
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw error("four hexadecimal digits expected")
      }
      value = value << 4 | UInt32(digit)
      offset += 1
    }
    return value
  }
}
