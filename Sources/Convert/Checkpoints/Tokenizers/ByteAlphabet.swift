/// The printable alphabet in which byte-level vocabularies are written (GPT-2): one scalar a byte.
///
/// Printable bytes of Latin-1 stand for themselves; the 68 others follow from U+0100 on, in order.
package enum ByteAlphabet {
  /// By byte.
  package static let scalars: [Unicode.Scalar] = {
    var next: UInt8 = 0
    return (UInt8.min...UInt8.max).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(byte)
      default:
        defer { next += 1 }
        return Unicode.Scalar(0x100 + UInt16(next)) ?? "\u{FFFD}"
      }
    }
  }()

  private static let bytes = Dictionary(
    uniqueKeysWithValues: zip(scalars, UInt8.min...UInt8.max))

  /// The bytes that `text` stands for, or nil if a scalar of it is none of the alphabet.
  package static func decode(_ text: String) -> [UInt8]? {
    var result: [UInt8] = []
    for scalar in text.unicodeScalars {
      guard let byte = bytes[scalar] else { return nil }
      result.append(byte)
    }
    return result
  }
}
