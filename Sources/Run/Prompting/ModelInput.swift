package import Architecture

/// What the decoder is asked to read: one row per id.
package struct ModelInput: Equatable, Sendable {
  /// The image placeholder's id is repeated once per visual row.
  package var ids: [Int32]
  /// By row.
  package var classes: [TokenClass]
  package var imageCount: Int
  /// The rows of each image, in order.
  package var imageRanges: [Range<Int>]

  package init(
    ids: [Int32], classes: [TokenClass], imageCount: Int, imageRanges: [Range<Int>]
  ) {
    self.ids = ids
    self.classes = classes
    self.imageCount = imageCount
    self.imageRanges = imageRanges
  }
}
