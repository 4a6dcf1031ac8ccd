import TensorCore

/// The image formats that are decoded, told apart by their first bytes.
enum ImageFormat: String {
  case jpeg = "JPEG"
  case png = "PNG"
  case webp = "WebP"

  /// - Throws: `InputError` that says what the bytes are instead.
  init(of bytes: [UInt8], name: String) throws(InputError) {
    if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
      self = .jpeg
    } else if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
      self = .png
    } else if bytes.starts(with: "RIFF".utf8), bytes.dropFirst(8).starts(with: "WEBP".utf8) {
      self = .webp
    } else {
      throw InputError(name, "\(whatElse(bytes)); JPEG, PNG or WebP expected")
    }
  }
}

/// Signatures of what people hand us by mistake: the offset, the bytes there, what it is.
private let otherFormats: [(offset: Int, signature: [UInt8], name: String)] = [
  (0, Array("GIF8".utf8), "a GIF image"),
  (0, Array("BM".utf8), "a BMP image"),
  (0, [0x49, 0x49, 0x2A, 0x00], "a TIFF image"),
  (0, [0x4D, 0x4D, 0x00, 0x2A], "a TIFF image"),
  (4, Array("ftypavif".utf8), "an AVIF image"),
  (4, Array("ftypavis".utf8), "an AVIF image"),
  (4, Array("ftyphe".utf8), "an HEIC image"),
  (4, Array("ftypmif1".utf8), "an HEIF image"),
  (4, Array("ftypmsf1".utf8), "an HEIF image"),
  (4, Array("ftyp".utf8), "a video"),
  (0, [0xFF, 0x0A], "a JPEG XL image"),
  (4, Array("JXL ".utf8), "a JPEG XL image"),
  (4, Array("jP  ".utf8), "a JPEG 2000 image"),
  (0, [0xFF, 0x4F, 0xFF, 0x51], "a JPEG 2000 image"),
  (0, [0x00, 0x00, 0x01, 0x00], "an ICO image"),
  (0, Array("8BPS".utf8), "a Photoshop image"),
  (0, Array("%PDF".utf8), "a PDF document"),
  (0, Array("<svg".utf8), "an SVG drawing"),
]

private func whatElse(_ bytes: [UInt8]) -> String {
  if bytes.isEmpty { return "is empty" }
  for other in otherFormats where bytes.dropFirst(other.offset).starts(with: other.signature) {
    return "is \(other.name)"
  }
  let start = bytes.prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
  return "is not an image: starts with bytes \(start.joined(separator: " "))"
}
