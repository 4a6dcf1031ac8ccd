/// A picture in memory: 8-bit RGB, rows from the top, no padding between rows.
package struct RGBImage: Equatable, Sendable {
  package let width: Int
  package let height: Int
  /// `[height, width, 3]`.
  package let pixels: [UInt8]

  /// - Precondition: both sides are at least 1 and `pixels` holds `3 * width * height` bytes.
  package init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(
      width > 0 && height > 0 && pixels.count == 3 * width * height,
      "\(width) x \(height) pixels in \(pixels.count) bytes")
    self.width = width
    self.height = height
    self.pixels = pixels
  }
}
