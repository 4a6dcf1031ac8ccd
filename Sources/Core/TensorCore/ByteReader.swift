/// A bounds-checked little-endian cursor over a private copy of foreign bytes.
///
/// Every failure is an `InputError` that names the file and the byte offset.
package struct ByteReader {
  private let bytes: [UInt8]
  private let file: String
  /// What the bytes are, for messages: "section TDIR", "header".
  private let what: String
  package private(set) var offset = 0

  package init(_ bytes: [UInt8], file: String, what: String) {
    self.bytes = bytes
    self.file = file
    self.what = what
  }

  package var remaining: Int { bytes.count - offset }

  /// An error at the current offset.
  package func error(_ problem: String) -> InputError {
    InputError(file, "\(what): \(problem) (at byte \(offset))")
  }

  /// Moves to `newOffset`, which may be the end.
  package mutating func seek(to newOffset: Int) throws(InputError) {
    guard newOffset >= 0, newOffset <= bytes.count else {
      throw error("offset \(newOffset) lies outside its \(bytes.count) bytes")
    }
    offset = newOffset
  }

  /// The next `count` bytes.
  package mutating func take(_ count: Int) throws(InputError) -> ArraySlice<UInt8> {
    guard count >= 0, count <= remaining else {
      throw error("ends early: \(count) bytes wanted, \(remaining) left")
    }
    defer { offset += count }
    return bytes[offset..<offset + count]
  }

  /// The next little-endian integer.
  package mutating func integer<T: FixedWidthInteger>(
    _ type: T.Type = T.self
  ) throws(InputError) -> T {
    var value: T.Magnitude = 0
    var shift = 0
    for byte in try take(T.bitWidth / 8) {
      value |= T.Magnitude(truncatingIfNeeded: byte) << T.Magnitude(truncatingIfNeeded: shift)
      shift += 8
    }
    return T(truncatingIfNeeded: value)
  }

  /// The next u64 as an `Int`.
  package mutating func size() throws(InputError) -> Int {
    let value = try integer(UInt64.self)
    guard let result = Int(exactly: value) else { throw error("number \(value) is too large") }
    return result
  }

  package mutating func float() throws(InputError) -> Float {
    Float(bitPattern: try integer(UInt32.self))
  }

  /// The next `count` bytes, which must be zero.
  package mutating func reserved(_ count: Int) throws(InputError) {
    for byte in try take(count) where byte != 0 { throw error("reserved byte is not zero") }
  }

  /// The next `count` bytes as UTF-8.
  package mutating func string(_ count: Int) throws(InputError) -> String {
    let start = offset
    guard let text = String(validating: try take(count), as: UTF8.self) else {
      offset = start
      throw error("text is not UTF-8")
    }
    return text
  }
}

/// Appends little-endian values to a byte array; the mirror of `ByteReader`.
package struct ByteWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func integer<T: FixedWidthInteger>(_ value: T) {
    var rest = value
    for _ in 0..<T.bitWidth / 8 {
      bytes.append(UInt8(truncatingIfNeeded: rest))
      rest = T.bitWidth > 8 ? rest >> 8 : 0
    }
  }

  package mutating func float(_ value: Float) { integer(value.bitPattern) }
  package mutating func zeros(_ count: Int) {
    bytes.append(contentsOf: repeatElement(0, count: count))
  }
  package mutating func append(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

  /// Appends zeros up to the next multiple of `alignment`.
  package mutating func align(to alignment: Int) {
    zeros((alignment - bytes.count % alignment) % alignment)
  }
}
