import Prompting
import TensorCore
import Testing

/// Damaged files end in one line that names the file, never in a trap; a file that was cut may
/// only give the whole picture.
@Suite struct ImagesMutationTests {
  @Test(arguments: ImageCases.all.decoding)
  func truncatedAtEveryLength(_ expected: ImageCases.Decoding) throws {
    let bytes = try imageCaseBytes(expected.file)
    for length in 0..<bytes.count {
      let cut = Array(bytes[..<length])
      if let image = try decoded(cut, expected.file, appliesOrientation: false) {
        #expect(crc32(image.pixels) == expected.stored, "\(length) of \(bytes.count) bytes")
      }
    }
  }

  @Test(arguments: ImageCases.all.decoding)
  func everyByteChanged(_ expected: ImageCases.Decoding) throws {
    let bytes = try imageCaseBytes(expected.file)
    for offset in bytes.indices {
      for pattern: UInt8 in [0xFF, 0x01] {
        var changed = bytes
        changed[offset] ^= pattern
        _ = try decoded(changed, expected.file)
        if expected.file.hasSuffix(".png") {
          _ = try decoded(withPNGChecksums(changed), expected.file)
        }
      }
    }
  }

  @Test(arguments: ImageCases.all.decoding)
  func severalBytesChanged(_ expected: ImageCases.Decoding) throws {
    let bytes = try imageCaseBytes(expected.file)
    // The seed is fixed, so a failure can be repeated.
    var state: UInt64 = 0x2545_F491_4F6C_DD1D ^ UInt64(expected.stored)
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    for _ in 0..<100 {
      var changed = bytes
      for _ in 0...random(8) { changed[random(bytes.count)] = UInt8(random(256)) }
      _ = try decoded(
        expected.file.hasSuffix(".png") ? withPNGChecksums(changed) : changed, expected.file)
    }
  }

  /// The image, or nil if the bytes are refused with a fitting message.
  private func decoded(
    _ bytes: [UInt8], _ name: String, appliesOrientation: Bool = true
  ) throws -> RGBImage? {
    do {
      return try RGBImage(decoding: bytes, name: name, appliesOrientation: appliesOrientation)
    } catch {
      #expect(error.file == name)
      #expect(!error.problem.isEmpty && !error.problem.contains("\n"))
      return nil
    }
  }
}

/// A PNG file with the checksum of every whole chunk made right again.
func withPNGChecksums(_ file: [UInt8]) -> [UInt8] {
  var file = file
  var offset = 8
  while offset + 12 <= file.count {
    let length = file[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
    guard length <= file.count - offset - 12 else { break }
    let end = offset + 8 + length
    let crc = crc32(file[offset + 4..<end])
    for byte in 0..<4 { file[end + byte] = UInt8(truncatingIfNeeded: crc >> (24 - 8 * byte)) }
    offset = end + 4
  }
  return file
}
