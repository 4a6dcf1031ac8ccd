import Architecture
package import Kernels
package import Prompting
package import TensorCore

/// A CLIP vision transformer: pixels to patch features.
///
///     patches -> linear -> + class row, + positions -> LayerNorm
///     per layer:  x += attention(LayerNorm(x));  x += MLP(LayerNorm(x))
///     features = hidden states of the chosen layers side by side, class row dropped or kept
package struct VisionTower: Sendable {
  private let configuration: VisionConfiguration
  private let weights: VisionWeights
  private let compute: Compute

  init(_ configuration: VisionConfiguration, _ weights: VisionWeights, _ compute: Compute) {
    self.configuration = configuration
    self.weights = weights
    self.compute = compute
  }

  /// The features of one image.
  ///
  /// - Parameter image: `[3, imageSize, imageSize]`, normalised.
  /// - Returns: `[rowsPerImage, featureWidth]`.
  package func features(
    of image: PixelTensor, observe: InputObserver? = nil
  ) throws(InputError) -> Rows {
    guard image.width == configuration.imageSize, image.height == configuration.imageSize else {
      throw InputError(
        "",
        "the image steps give \(image.width)x\(image.height) pixels; the vision tower needs "
          + "\(configuration.imageSize)x\(configuration.imageSize)")
    }
    let rows = configuration.rowCount
    let width = configuration.hiddenSize
    let x = embed(image, observe)
    let features = Rows(count: configuration.rowsPerImage, width: configuration.featureWidth)
    let normed = Rows(count: rows, width: width)
    let (q, k, v) = (
      Rows(count: rows, width: width), Rows(count: rows, width: width),
      Rows(count: rows, width: width)
    )
    let inner = Rows(count: rows, width: configuration.intermediateSize)
    let cache = KeyValueRows(
      capacity: rows, keyValueHeads: configuration.headCount,
      headDimension: configuration.headDimension, precision: .f32)
    let everyRow = Array(repeating: Int32(rows), count: rows)
    let scale = 1 / Float(configuration.headDimension).squareRoot()

    collect(x, ofState: 0, into: features)
    for (index, layer) in weights.layers.enumerated() {
      compute.layerNorm(
        x, weight: layer.attentionNorm, bias: layer.attentionNormBias,
        epsilon: configuration.normEpsilon, into: normed)
      observe?(.visionQuery, index, normed)
      compute.multiply(normed, [layer.query, layer.key, layer.value], into: [q, k, v])
      cache.removeAll()
      compute.append(keys: k, values: v, to: cache)
      compute.attend(
        q, to: cache, headCount: configuration.headCount, scale: scale, visible: everyRow,
        into: normed)
      observe?(.visionAttentionOutput, index, normed)
      compute.multiply(normed, layer.attentionOutput, .add, into: x)
      compute.layerNorm(
        x, weight: layer.feedForwardNorm, bias: layer.feedForwardNormBias,
        epsilon: configuration.normEpsilon, into: normed)
      observe?(.visionUp, index, normed)
      compute.multiply(
        normed, layer.up, .activate(configuration.activation.kernel), into: inner)
      observe?(.visionDown, index, inner)
      compute.multiply(inner, layer.down, .add, into: x)
      collect(x, ofState: index + 1, into: features)
    }
    return features
  }

  /// Class row and patch rows with their positions, normalised: hidden state 0,
  /// `[rowCount, hiddenSize]`.
  private func embed(_ image: PixelTensor, _ observe: InputObserver?) -> Rows {
    let x = Rows(count: configuration.rowCount, width: configuration.hiddenSize)
    let patches = Rows(count: configuration.patchCount, width: configuration.patchWidth)
    fill(patches, from: image)
    x[0..<1].fill(from: weights.classEmbedding.floats)
    observe?(.patchEmbedding, nil, patches)
    compute.multiply(patches, weights.patchEmbedding, into: x[1..<configuration.rowCount])
    let positions = Rows(count: x.count, width: x.width)
    positions.fill(from: weights.positionEmbedding.floats)
    compute.add(positions, to: x)
    let normed = Rows(count: x.count, width: x.width)
    compute.layerNorm(
      x, weight: weights.preNorm, bias: weights.preNormBias,
      epsilon: configuration.normEpsilon, into: normed)
    return normed
  }

  /// Cuts the image into patches, each flattened as (channel, y, x) like the convolution's kernel.
  private func fill(_ patches: Rows, from image: PixelTensor) {
    let side = configuration.patchSize
    let perSide = configuration.patchesPerSide
    var target = patches.mutableSpan
    let source = image.values.span
    var next = 0
    for patch in 0..<configuration.patchCount {
      let top = patch / perSide * side
      let left = patch % perSide * side
      for channel in 0..<3 {
        for y in top..<top + side {
          var place = (channel * image.height + y) * image.width + left
          for _ in 0..<side {
            target[next] = source[place]
            next += 1
            place += 1
          }
        }
      }
    }
  }

  /// Copies hidden state `state` into every column block of `features` that asks for it.
  private func collect(_ x: Rows, ofState state: Int, into features: Rows) {
    let width = configuration.hiddenSize
    let firstRow = configuration.keepsClassRow ? 0 : 1
    for (block, wanted) in configuration.featureLayers.enumerated() where wanted == state {
      let source = x.span
      var target = features.mutableSpan
      for row in 0..<features.count {
        let from = (row + firstRow) * width
        let to = row * features.width + block * width
        for column in 0..<width { target[to + column] = source[from + column] }
      }
    }
  }
}
