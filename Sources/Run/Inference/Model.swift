package import Architecture
package import Kernels
package import Prompting
package import TensorCore

/// A model ready to run: the only forward pass, shared by conversion and runtime.
package struct Model: Sendable {
  package let configuration: ModelConfiguration
  package let decoder: TextDecoder
  package let compute: Compute
  private let vision: (tower: VisionTower, projector: Projector)?
  /// The matrices that only images need, in the order of their use.
  private let visionMatrices: [TensorView]

  /// - Parameter tensors: packed weights; they stay where they are.
  /// - Throws: `InputError` if a tensor is missing or misshapen.
  package init(
    _ configuration: ModelConfiguration, _ tensors: TensorTable, _ compute: Compute
  ) throws(InputError) {
    let lookup = try WeightLookup(tensors, configuration)
    self.configuration = configuration
    self.compute = compute
    decoder = TextDecoder(
      configuration.text, try DecoderWeights(lookup, configuration.text), compute)
    if let tower = configuration.vision, let projector = configuration.projector {
      let weights = try VisionWeights(lookup, tower)
      let bridge = try ProjectorWeights(lookup)
      vision = (VisionTower(tower, weights, compute), Projector(projector, bridge, compute))
      visionMatrices = weights.matrices + bridge.matrices
    } else {
      vision = nil
      visionMatrices = []
    }
  }

  /// The decoder rows of `images`, one after another: `[images * rowsPerImage, hiddenSize]`.
  ///
  /// - Parameter observe: is shown the inputs of the products of tower and projector.
  package func encode(
    _ images: [PixelTensor], trace: Trace? = nil, observe: InputObserver? = nil
  ) throws(InputError) -> Rows {
    guard let vision, let configuration = configuration.vision else {
      throw InputError("", "this model takes no images")
    }
    let perImage = configuration.rowsPerImage
    let features = Rows(count: images.count * perImage, width: configuration.featureWidth)
    for (index, image) in images.enumerated() {
      features[index * perImage..<(index + 1) * perImage]
        .copyRows(from: try vision.tower.features(of: image, observe: observe))
    }
    let projected = vision.projector.project(features, observe: observe)
    trace?.record(pixels: images)
    trace?.record("vision_features", features)
    trace?.record("projected", projected)
    return projected
  }

  /// Gives back the memory of mapped weights that only images need; the next image reads them
  /// again.
  package func dropVisionPages() {
    for matrix in visionMatrices { matrix.region.dropPages(matrix.byteRange) }
  }

  /// Puts the embeddings of `input` into `x`, visual rows taken from `visual`.
  ///
  /// - Parameters:
  ///   - visual: `[visual rows of the input, hiddenSize]`; nil if there are none.
  ///   - x: `[input.ids.count, hiddenSize]`.
  package func embed(_ input: ModelInput, visual: Rows?, into x: Rows) {
    // The placeholder's own embedding is never used, and its id may lie outside the vocabulary.
    var ids = input.ids
    for range in input.imageRanges { for row in range { ids[row] = 0 } }
    decoder.embed(ids, into: x)
    var next = 0
    for range in input.imageRanges {
      guard let visual else { preconditionFailure("an input with images needs their rows") }
      x[range].copyRows(from: visual[next..<next + range.count])
      next += range.count
    }
  }
}
