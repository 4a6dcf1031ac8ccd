/// A picture as the vision tower takes it.
package struct PixelTensor: Equatable, Sendable {
  package let width: Int
  package let height: Int
  /// `[3, height, width]`: red, green, blue.
  package let values: [Float]

  /// - Precondition: `values` holds `3 * width * height` numbers.
  package init(width: Int, height: Int, values: [Float]) {
    precondition(
      width >= 0 && height >= 0 && values.count == 3 * width * height,
      "\(width) x \(height) pixels in \(values.count) values")
    self.width = width
    self.height = height
    self.values = values
  }
}
