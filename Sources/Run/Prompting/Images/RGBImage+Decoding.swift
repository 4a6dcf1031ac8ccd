import CImages
package import TensorCore

/// 65,535: the most that JPEG can say; no picture a model looks at comes near.
private let longestSide = 65_535
/// 134 million, 400 MB of RGB: above the largest phone cameras, below what a small file may claim.
private let mostPixels = 1 << 27

extension RGBImage {
  /// Decodes a JPEG, PNG or WebP file as Pillow's `open(path).convert("RGB")` does.
  ///
  /// Alpha is dropped, not blended; of an animation the first frame is taken; colour profiles are
  /// ignored.
  ///
  /// - Parameters:
  ///   - name: what the user calls the file; for messages.
  ///   - appliesOrientation: whether the picture is turned upright by its EXIF or XMP orientation,
  ///     as Pillow's `ImageOps.exif_transpose` does.
  /// - Throws: `InputError` if the bytes are of another format, too large, damaged or incomplete.
  package init(
    decoding bytes: [UInt8], name: String, appliesOrientation: Bool = true
  ) throws(InputError) {
    let format = try ImageFormat(of: bytes, name: name)
    let (width, height) = try format.size(of: bytes, name: name)
    guard width > 0, height > 0, width <= longestSide, height <= longestSide,
      width * height <= mostPixels
    else {
      throw InputError(
        name,
        "is a \(format.rawValue) image of \(width) x \(height) pixels; images of 1 to \(mostPixels)"
          + " pixels, no side longer than \(longestSide), are accepted")
    }
    let pixels = try format.pixels(of: bytes, width: width, height: height, name: name)
    let stored = RGBImage(width: width, height: height, pixels: pixels)
    self = appliesOrientation ? stored.upright(from: Orientation(of: bytes, format)) : stored
  }
}

extension ImageFormat {
  /// The size that the headers declare, unchecked.
  fileprivate func size(
    of bytes: [UInt8], name: String
  ) throws(InputError) -> (width: Int, height: Int) {
    var width: UInt32 = 0
    var height: UInt32 = 0
    var message = [CChar](repeating: 0, count: Int(VTW_MESSAGE_SIZE))
    let read =
      switch self {
      case .jpeg: unsafe vtw_jpeg_size
      case .png: unsafe vtw_png_size
      case .webp: unsafe vtw_webp_size
      }
    guard unsafe read(bytes, bytes.count, &width, &height, &message) == 0 else {
      throw failure(message, name: name)
    }
    return (Int(width), Int(height))
  }

  /// - Parameters width, height: what `size(of:name:)` returned.
  fileprivate func pixels(
    of bytes: [UInt8], width: Int, height: Int, name: String
  ) throws(InputError) -> [UInt8] {
    var message = [CChar](repeating: 0, count: Int(VTW_MESSAGE_SIZE))
    let decode =
      switch self {
      case .jpeg: unsafe vtw_jpeg_decode
      case .png: unsafe vtw_png_decode
      case .webp: unsafe vtw_webp_decode
      }
    var status: Int32 = 0
    let byteCount = 3 * width * height
    let pixels = unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { memory, count in
      status = unsafe decode(
        bytes, bytes.count, memory.baseAddress, UInt32(width), UInt32(height), &message)
      // After a failure nothing reads the bytes, which are then not all set.
      count = status == 0 ? byteCount : 0
    }
    guard status == 0 else { throw failure(message, name: name) }
    return pixels
  }

  private func failure(_ message: [CChar], name: String) -> InputError {
    let reason = String(
      decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return InputError(name, "cannot be decoded as \(rawValue): \(printable(reason))")
  }
}
