import Architecture
import Prompting
import TensorCore

/// A prompt that needs no files: random pixels, and token ids that are not the placeholder.  Its images
/// are the largest that the model can see.
struct SyntheticPrompt {
  var input: ModelInput
  var images: [Picture]
  var textRows: Int
  var visualRows: Int

  /// Half of `textRows` before the images, half behind them.
  ///
  /// - Throws: `InputError` if that is more than the context holds.
  init(
    _ configuration: ModelConfiguration, imageCount: Int, textRows: Int
  ) throws(InputError) {
    var state: UInt64 = 1
    func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state >> 33
    }
    let layout = configuration.vision?.largestLayout
    let rowsPerImage = layout?.rowCount ?? 0
    // Before anything of that size is made; an image without rows does not exist.
    let context = configuration.text.contextLength
    guard textRows <= context, imageCount <= (context - textRows) / max(1, rowsPerImage) else {
      throw InputError(
        "",
        "\(textRows) text rows and \(imageCount) images of \(rowsPerImage) rows are more than "
          + "the context's \(context)")
    }
    let side = configuration.vision?.imageSize ?? 0
    func tile() -> PixelTensor {
      PixelTensor(
        width: side, height: side,
        values: (0..<3 * side * side).map { _ in Float(next() % 1000) / 250 - 2 })
    }
    images = (0..<imageCount).compactMap { _ in
      layout.map { Picture(tiles: (0..<$0.tileCount).map { _ in tile() }, layout: $0) }
    }
    let placeholder = Int32(configuration.imageTokenID ?? -1)
    var ids: [Int32] = []
    var classes: [TokenClass] = []
    var ranges: [Range<Int>] = []
    func text(_ count: Int, _ tokenClass: TokenClass) {
      for _ in 0..<count {
        let id = Int32(next() % UInt64(configuration.text.vocabularySize))
        ids.append(id == placeholder ? 0 : id)
        classes.append(tokenClass)
      }
    }
    text(textRows / 2, .system)
    for _ in 0..<imageCount {
      ranges.append(ids.count..<ids.count + rowsPerImage)
      ids += Array(repeating: placeholder, count: rowsPerImage)
      classes += Array(repeating: .visual, count: rowsPerImage)
    }
    text(textRows - textRows / 2, .user)
    input = ModelInput(ids: ids, classes: classes, imageCount: imageCount, imageRanges: ranges)
    self.textRows = textRows
    visualRows = imageCount * rowsPerImage
  }
}
