import CZlib
import Crypto

/// CRC-32 of zlib and PNG, computed piece by piece.  It finds accidents, not attackers.
package struct CRC32: Sendable {
  package private(set) var value: UInt32 = 0

  package init() {}

  package init(of bytes: [UInt8]) { update(bytes) }

  package mutating func update(_ bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes { unsafe update($0) }
  }

  @unsafe package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    value = unsafe UInt32(
      truncatingIfNeeded: crc32_z(
        UInt(value), start.assumingMemoryBound(to: UInt8.self), bytes.count))
  }

  /// Appends `count` bytes whose own checksum is `crc`.
  package mutating func append(_ crc: UInt32, count: Int) {
    value = UInt32(truncatingIfNeeded: crc32_combine(UInt(value), UInt(crc), count))
  }
}

/// SHA-256, computed piece by piece; names the content of sections and files.
struct SHA256Digest {
  private var state = SHA256()

  static func of(_ bytes: [UInt8]) -> [UInt8] {
    var digest = SHA256Digest()
    digest.update(bytes)
    return digest.finish()
  }

  mutating func update(_ bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes { unsafe update($0) }
  }

  @unsafe mutating func update(_ bytes: UnsafeRawBufferPointer) {
    unsafe state.update(bufferPointer: bytes)
  }

  /// The 32 bytes of the digest.
  func finish() -> [UInt8] { Array(state.finalize()) }
}

/// Lower-case hexadecimal.
func hexadecimal(_ bytes: [UInt8]) -> String {
  bytes.map { byte in
    let digits = String(byte, radix: 16)
    return digits.count == 1 ? "0" + digits : digits
  }.joined()
}
