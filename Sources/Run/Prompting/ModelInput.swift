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

  /// The same with `rowCounts[i]` rows for image i instead of one.
  ///
  /// - Precondition: every image has one row here, and a count.
  package func expanded(_ rowCounts: [Int]) -> ModelInput {
    precondition(
      imageRanges.allSatisfy { $0.count == 1 } && rowCounts.count == imageRanges.count,
      "\(rowCounts.count) row counts for \(imageRanges)")
    var result = ModelInput(ids: [], classes: [], imageCount: imageCount, imageRanges: [])
    var next = 0
    for (range, count) in zip(imageRanges, rowCounts) {
      result.ids += ids[next..<range.lowerBound]
      result.classes += classes[next..<range.lowerBound]
      result.imageRanges.append(result.ids.count..<result.ids.count + count)
      result.ids += repeatElement(ids[range.lowerBound], count: count)
      result.classes += repeatElement(classes[range.lowerBound], count: count)
      next = range.upperBound
    }
    result.ids += ids[next...]
    result.classes += classes[next...]
    return result
  }
}
