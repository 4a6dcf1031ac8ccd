package import Architecture
import TensorCore

/// A small LLaVA with seeded random weights, for tests that need a model but no file.
package enum TinyModel {
  /// 5 decoder layers, grouped-query attention, 9 visual rows per image.
  package static let configuration = ModelConfiguration(
    family: "llava", name: "tiny",
    text: TextConfiguration(
      layerCount: 5, hiddenSize: 24, intermediateSize: 40, headCount: 4, keyValueHeadCount: 2,
      headDimension: 6, vocabularySize: 61, contextLength: 128, normEpsilon: 1e-5,
      rope: RoPEConfiguration(theta: 10_000)),
    vision: VisionConfiguration(
      hiddenSize: 16, intermediateSize: 24, layerCount: 2, headCount: 2, imageSize: 12,
      patchSize: 4, activation: .quickGELU, normEpsilon: 1e-5, featureLayers: [1],
      keepsClassRow: false),
    projector: ProjectorConfiguration(activation: .gelu, hasBias: true), imageTokenID: 60,
    endOfTextIDs: [2])

  /// Weights in f32.  They are large enough for the image to matter to every logit.
  package static func tensors(
    _ configuration: ModelConfiguration = configuration, seed: UInt64 = 1
  ) throws -> TensorTable {
    var random = SplitMix64(seed: seed)
    var table = TensorTable()
    for specification in configuration.tensorGroups.joined() {
      let count = specification.shape.elementCount ?? 0
      var writer = ByteWriter()
      let isNorm = "\(specification.key.role)".hasSuffix("Norm")
      for value in random.floats(count, scale: isNorm ? 0.2 : 0.35) {
        writer.float(isNorm ? 1 + value : value)
      }
      let region = ByteRegion(copying: writer.bytes)
      table[specification.key] = TensorView(
        region, offset: 0, shape: specification.shape, encoding: .f32)
    }
    return table
  }
}
