import Architecture

extension ModelConfiguration {
  /// A LLaVA of unequal sizes, so that no two extents can be mistaken for each other.
  static let tinyLLaVA = ModelConfiguration(
    family: "llava", name: "tiny",
    text: TextConfiguration(
      layerCount: 3, hiddenSize: 48, intermediateSize: 80, headCount: 4, keyValueHeadCount: 2,
      headDimension: 10, vocabularySize: 100, contextLength: 64, normEpsilon: 1e-5,
      rope: RoPEConfiguration(theta: 10_000)),
    vision: VisionConfiguration(
      hiddenSize: 24, intermediateSize: 56, layerCount: 2, headCount: 3, imageSize: 30,
      patchSize: 7, activation: .quickGELU, normEpsilon: 1e-5, featureLayers: [2],
      keepsClassRow: false),
    projector: ProjectorConfiguration(activation: .gelu, hasBias: true), imageTokenID: 99,
    endOfTextIDs: [2])
}
