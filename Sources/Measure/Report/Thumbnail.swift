import Architecture
import CImages
package import Prompting
package import TensorCore

/// A small copy of a picture, ready to stand in a page.
package struct Thumbnail: Equatable, Sendable {
  package let width: Int
  package let height: Int
  /// A JPEG file.
  let bytes: [UInt8]

  /// Twice what the page shows, for screens with small pixels.
  private static let longestSide = 320
  private static let quality: Int32 = 85

  /// - Throws: `InputError` if the encoder fails.
  package init(_ image: RGBImage) throws(InputError) {
    let longest = max(image.width, image.height)
    var small = image
    if longest > Self.longestSide {
      func scaled(_ side: Int) -> Int { max(1, (side * Self.longestSide + longest / 2) / longest) }
      small = image.resized(
        width: scaled(image.width), height: scaled(image.height), filter: .bicubic)
    }
    width = small.width
    height = small.height
    bytes = try small.jpeg(quality: Self.quality)
  }

  /// The picture as the address of an image.
  var address: String { "data:image/jpeg;base64," + base64(bytes) }
}

extension RGBImage {
  /// A JPEG file with full colour resolution; the same picture gives the same bytes.
  fileprivate func jpeg(quality: Int32) throws(InputError) -> [UInt8] {
    // Headers and tables take some 600 bytes; noise at the best quality stays below 4 per pixel.
    let capacity = 4096 + 6 * width * height
    var message = [CChar](repeating: 0, count: Int(VTW_MESSAGE_SIZE))
    var count = 0
    var file = [UInt8](repeating: 0, count: capacity)
    let status = unsafe vtw_jpeg_encode(
      &file, capacity, &count, pixels, UInt32(width), UInt32(height), quality, &message)
    guard status == 0 else {
      let reason = String(
        decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      throw InputError("", "a picture cannot be encoded as JPEG: \(printable(reason))")
    }
    return Array(file[..<count])
  }
}

/// `bytes` in base64 with padding (RFC 4648, section 4).
private func base64(_ bytes: [UInt8]) -> String {
  let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  var text: [UInt8] = []
  text.reserveCapacity((bytes.count + 2) / 3 * 4)
  for start in stride(from: 0, to: bytes.count, by: 3) {
    let part = bytes[start..<min(start + 3, bytes.count)]
    let bits = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
    for place in 0..<4 {
      text.append(place <= part.count ? digits[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
    }
  }
  return String(decoding: text, as: UTF8.self)
}
