extension ModelConfiguration {
  /// Floating-point operations for the rows of one tile, multiply-adds counted as two:
  /// patches, 2r(4w + 2m)w + 4r²w per layer of r rows, width w and feed-forward width m, and the
  /// projector.  0 for a text-only model.
  package var visionOperations: Double {
    guard let vision, projector != nil else { return 0 }
    let rows = Double(vision.rowCount), width = Double(vision.hiddenSize)
    let inner = Double(vision.intermediateSize), hidden = Double(text.hiddenSize)
    let patches = 2 * Double(vision.patchCount * vision.patchWidth) * width
    let layer = 2 * rows * (4 * width + 2 * inner) * width + 4 * rows * rows * width
    let projected =
      2 * Double(vision.rowsPerTile) * (Double(vision.featureWidth) + hidden) * hidden
    return patches + Double(vision.layerCount) * layer + projected
  }
}
