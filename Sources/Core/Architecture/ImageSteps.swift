/// How the pixels of an image, or of a tile of it, become the vision tower's input; the checkpoint's
/// own rule.
package struct ImageSteps: Equatable, Sendable {
  /// Resampling filter, as Pillow names and computes them.
  package enum Filter: String, CaseIterable, Sendable {
    case bicubic, bilinear, lanczos, nearest
  }

  package enum Resize: Equatable, Sendable {
    /// The shorter side becomes `size`, the longer keeps the ratio (Hugging Face CLIP).
    case shortestEdge(size: Int)
    /// The image is first centred on a square of `color` (0...255 per channel), then the square
    /// becomes `size` x `size` (the original LLaVA code).
    case padSquare(size: Int, color: [Int])
    /// Both sides become `size`; the ratio is lost.
    case exact(size: Int)
    case none
  }

  package var resize: Resize
  /// The rule for pictures that share their prompt with others, each of which then is one tile;
  /// nil: the same as for one.
  package var resizeOfSeveral: Resize?
  package var filter: Filter
  /// Side of the central square that is kept; nil keeps all.
  package var cropSize: Int?
  /// Each 8-bit value is multiplied by this, then `(x - mean) / std` per channel.
  package var rescaleFactor: Double
  package var mean: [Double]
  package var standardDeviation: [Double]

  package init(
    resize: Resize, resizeOfSeveral: Resize? = nil, filter: Filter, cropSize: Int?,
    rescaleFactor: Double, mean: [Double], standardDeviation: [Double]
  ) {
    self.resize = resize
    self.resizeOfSeveral = resizeOfSeveral
    self.filter = filter
    self.cropSize = cropSize
    self.rescaleFactor = rescaleFactor
    self.mean = mean
    self.standardDeviation = standardDeviation
  }
}
