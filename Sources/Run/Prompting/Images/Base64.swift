package import TensorCore

/// The bytes that `text[range]` stands for in base64 with padding (RFC 4648, section 4).
///
/// - Throws: `InputError` on any other character, line breaks included, or a wrong length.
package func decodeBase64(
  _ text: Span<UInt8>, _ range: Range<Int>, name: String
) throws(InputError) -> [UInt8] {
  guard range.count.isMultiple(of: 4) else {
    throw InputError(name, "is not base64: \(range.count) characters, not a multiple of four")
  }
  var end = range.upperBound
  while end > range.lowerBound, range.upperBound - end < 2, text[end - 1] == UInt8(ascii: "=") {
    end -= 1
  }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(range.count / 4 * 3)
  var bits: UInt32 = 0
  var count = 0
  for place in range.lowerBound..<end {
    let value = sextets[Int(text[place])]
    guard value < 64 else {
      throw InputError(
        name,
        "is not base64: byte \(text[place]) at character \(place - range.lowerBound + 1)")
    }
    bits = bits << 6 | UInt32(value)
    count += 1
    if count == 4 {
      bytes.append(UInt8(truncatingIfNeeded: bits >> 16))
      bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
      bytes.append(UInt8(truncatingIfNeeded: bits))
      (bits, count) = (0, 0)
    }
  }
  // Two or three characters are left where one or two "=" stood.
  if count == 2 { bytes.append(UInt8(truncatingIfNeeded: bits >> 4)) }
  if count == 3 {
    bytes.append(UInt8(truncatingIfNeeded: bits >> 10))
    bytes.append(UInt8(truncatingIfNeeded: bits >> 2))
  }
  return bytes
}

/// The value of each character; 255 for those that base64 does not use.
private let sextets: [UInt8] = {
  var table = [UInt8](repeating: 255, count: 256)
  let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  for (value, character) in alphabet.utf8.enumerated() { table[Int(character)] = UInt8(value) }
  return table
}()
