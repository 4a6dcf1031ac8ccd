import TensorCore

/// Walks the fields of one Protocol Buffers message (wire format), bounds-checked.
struct ProtobufFields {
  enum Value {
    case integer(UInt64)
    case fixed32(UInt32)
    case bytes(ArraySlice<UInt8>)
    /// Eight bytes that no field we read uses.
    case fixed64
  }

  private let file: String
  private let bytes: ArraySlice<UInt8>
  private var place: Int

  init(_ bytes: ArraySlice<UInt8>, file: String) {
    self.bytes = bytes
    self.file = file
    place = bytes.startIndex
  }

  /// The next field, or nil at the end of the message.
  mutating func next() throws(InputError) -> (number: UInt64, value: Value)? {
    guard place < bytes.endIndex else { return nil }
    let key = try varint()
    let value: Value
    switch key & 7 {
    case 0: value = .integer(try varint())
    case 1:
      _ = try take(8)
      value = .fixed64
    case 2:
      let count = try varint()
      guard let count = Int(exactly: count) else { throw error("a field is too long") }
      value = .bytes(try take(count))
    case 5:
      var bits: UInt32 = 0
      for byte in try take(4).reversed() { bits = bits << 8 | UInt32(byte) }
      value = .fixed32(bits)
    default: throw error("wire type \(key & 7) is unknown")
    }
    return (key >> 3, value)
  }

  private mutating func varint() throws(InputError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard place < bytes.endIndex else { throw error("a number ends early") }
      let byte = bytes[place]
      place += 1
      guard shift < 63 || byte <= 1 else { break }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    throw error("a number has more than 64 bits")
  }

  private mutating func take(_ count: Int) throws(InputError) -> ArraySlice<UInt8> {
    guard count <= bytes.endIndex - place else {
      throw error("a field of \(count) bytes ends behind its message")
    }
    defer { place += count }
    return bytes[place..<place + count]
  }

  private func error(_ problem: String) -> InputError {
    InputError(file, "not a SentencePiece model: \(problem) (at byte \(place))")
  }
}
