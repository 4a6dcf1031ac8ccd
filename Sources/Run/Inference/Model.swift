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
  /// The matrices that only images need, and those that every prompt needs, in the order of their
  /// use.
  private let visionMatrices: [TensorView]
  private let decoderMatrices: [TensorView]
  private let embedding: TensorView

  /// - Parameter tensors: packed weights; they stay where they are.
  /// - Throws: `InputError` if a tensor is missing or misshapen.
  package init(
    _ configuration: ModelConfiguration, _ tensors: TensorTable, _ compute: Compute
  ) throws(InputError) {
    let lookup = try WeightLookup(tensors, configuration)
    self.configuration = configuration
    self.compute = compute
    let text = try DecoderWeights(lookup, configuration.text)
    decoder = TextDecoder(configuration.text, text, compute)
    decoderMatrices = text.matrices
    embedding = text.embedding
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

  /// The decoder rows of `pictures`, one after another: `[their layouts' rows, hiddenSize]`.
  ///
  /// - Parameter observe: is shown the inputs of the products of tower and projector, tile by tile.
  package func encode(
    _ pictures: [Picture], trace: Trace? = nil, observe: InputObserver? = nil
  ) throws(InputError) -> Rows {
    guard let vision else { throw InputError("", "this model takes no images") }
    let rows = Rows(
      count: pictures.reduce(0) { $0 + $1.layout.rowCount },
      width: configuration.text.hiddenSize)
    // Interpolated rows are sums.
    rows.fill(with: 0)
    var next = 0
    for picture in pictures {
      let target = rows[next..<next + picture.layout.rowCount]
      let arrangement = RowArrangement(picture.layout)
      for (tile, placements) in zip(picture.tiles, arrangement.tiles) {
        let features = try vision.tower.features(of: tile, observe: observe)
        trace?.append(features, to: "vision_features")
        let projected = vision.projector.project(features, observe: observe)
        target.place(projected, at: placements)
      }
      vision.projector.fillNewlines(arrangement.newlines, of: target)
      next += target.count
    }
    trace?.record(pixels: pictures.flatMap(\.tiles))
    trace?.record("projected", rows)
    return rows
  }

  /// Reads and prepares the images of one prompt.
  ///
  /// - Parameter steps: nil if the model takes no images.
  /// - Throws: `InputError` for an image that cannot be used.
  package func pictures(
    of sources: [ImageSource], steps: ImageSteps?
  ) throws(InputError) -> [Picture] {
    guard let first = sources.first else { return [] }
    guard let steps, let vision = configuration.vision else {
      throw InputError(first.name, "this model takes no images")
    }
    return try steps.pictures(of: sources, vision: vision)
  }

  /// Begins to read the mapped weights that a prompt needs, in the order of their use.
  ///
  /// - Parameters:
  ///   - input: nil if it is not known yet.
  ///   - images: whether it has any.
  package func readAhead(_ input: ModelInput?, images: Bool) -> ReadAhead {
    // The rows of the embedding lie far apart, so they come first: read when they are used, they
    // would wait for all that was asked for before.
    let panels = Set((input.map(embeddingRows) ?? []).map { embedding.panelBytes(of: Int($0)) })
    let matrices = (images ? visionMatrices : []) + decoderMatrices
    let reading = ReadAhead(
      panels.map { (embedding.region, $0) } + matrices.map { ($0.region, $0.byteRange) })
    reading.start()
    return reading
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
    decoder.embed(embeddingRows(input), into: x)
    var next = 0
    for range in input.imageRanges {
      guard let visual else { preconditionFailure("an input with images needs their rows") }
      x[range].copyRows(from: visual[next..<next + range.count])
      next += range.count
    }
  }

  /// Rows of the embedding for `input`, a row for each of its ids.
  private func embeddingRows(_ input: ModelInput) -> [Int32] {
    // The placeholder's own embedding is never used, and its id may lie outside the vocabulary.
    var ids = input.ids
    for range in input.imageRanges { for row in range { ids[row] = 0 } }
    return ids
  }
}

extension Rows {
  /// Adds rows of `tile` to these rows, each multiplied by its weight; what is placed as it is, is
  /// copied.
  fileprivate func place(_ tile: Rows, at placements: [RowArrangement.Placement]) {
    for placement in placements {
      let source = tile[placement.source..<placement.source + 1]
      let target = self[placement.target..<placement.target + 1]
      if placement.weight == 1 {
        target.copyRows(from: source)
      } else {
        var sum = target.mutableSpan
        let values = source.span
        for column in 0..<width { sum[column] += placement.weight * values[column] }
      }
    }
  }
}
