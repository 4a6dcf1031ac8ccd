package import Architecture
package import TensorCore

/// A picture as the model takes it.
package struct Picture: Sendable {
  /// In the order of the layout, each as large as the vision tower takes it.
  package let tiles: [PixelTensor]
  package let layout: PictureLayout

  /// - Precondition: there are as many tiles as the layout has.
  package init(tiles: [PixelTensor], layout: PictureLayout) {
    precondition(tiles.count == layout.tileCount, "\(tiles.count) tiles of \(layout.tileCount)")
    self.tiles = tiles
    self.layout = layout
  }
}

extension ImageSteps {
  /// Reads and prepares the images of one prompt.
  ///
  /// - Throws: `InputError` for an image that cannot be used.
  package func pictures(
    of sources: [ImageSource], vision: VisionConfiguration
  ) throws(InputError) -> [Picture] {
    var pictures: [Picture] = []
    for source in sources {
      pictures.append(
        try picture(of: RGBImage(source), vision: vision, isAlone: sources.count == 1))
    }
    return pictures
  }
}
