import Architecture
import TensorCore

/// What a vision configuration assumes where the file is silent.
struct VisionDefaults: Equatable {
  let modelType: String
  let kind: VisionConfiguration.Kind
  let hiddenSize: Int
  let intermediateSize: Int
  let layerCount: Int
  let headCount: Int
  let imageSize: Int
  let patchSize: Int
  var activation = "quick_gelu"
  var normEpsilon = 1e-5

  /// `CLIPVisionConfig` of transformers: a `vision_config` that leaves something out.
  static let clip = VisionDefaults(
    modelType: "clip_vision_model", kind: .clip, hiddenSize: 768, intermediateSize: 3072,
    layerCount: 12, headCount: 12, imageSize: 224,
    patchSize: 32)
  /// `SiglipVisionConfig`, likewise.
  static let siglip = VisionDefaults(
    modelType: "siglip_vision_model", kind: .siglip, hiddenSize: 768, intermediateSize: 3072,
    layerCount: 12, headCount: 12, imageSize: 224, patchSize: 16, activation: "gelu_pytorch_tanh",
    normEpsilon: 1e-6)
  /// `LlavaConfig` and `LlavaNextConfig`: no `vision_config` at all.
  static let llava = VisionDefaults(
    modelType: clip.modelType, kind: .clip, hiddenSize: 1024, intermediateSize: 4096,
    layerCount: 24, headCount: 16, imageSize: 336, patchSize: 14)
  /// `LlavaOnevisionConfig`, likewise.
  static let onevision = VisionDefaults(
    modelType: siglip.modelType, kind: .siglip, hiddenSize: 1152, intermediateSize: 4304,
    layerCount: 26, headCount: 16, imageSize: 384, patchSize: 14, activation: siglip.activation,
    normEpsilon: siglip.normEpsilon)
}

extension VisionDefaults {
  /// What `settings` leaves out, by its `model_type`.
  ///
  /// - Parameters:
  ///   - type: the `model_type` if it does not say one.
  ///   - classes: those that are supported.
  init(
    for settings: Settings, default type: String, of classes: [VisionDefaults] = [.clip, .siglip]
  ) throws(InputError) {
    self = try settings.choice(
      "model_type", default: type, of: classes.map { ($0.modelType, $0) })
  }
}

/// Which hidden states of the tower become visual rows, as a configuration file says it.
struct FeatureChoice {
  /// Indices of hidden states; negative ones count from the last layer's output, which is -1.
  let layers: [Int]
  let keepsClassRow: Bool
}

extension VisionConfiguration {
  /// The tower that `settings` describes, cut after the highest layer that `features` needs.
  init(
    _ settings: Settings, defaults: VisionDefaults, features: FeatureChoice
  ) throws(InputError) {
    let hiddenSize = try settings.integer(
      "hidden_size", default: defaults.hiddenSize, in: 1...Limit.dimension)
    let headCount = try settings.integer(
      "num_attention_heads", default: defaults.headCount, in: 1...Limit.heads)
    guard hiddenSize.isMultiple(of: headCount), hiddenSize / headCount <= Limit.headDimension else {
      throw settings.error(
        "hidden_size",
        """
        is \(hiddenSize); a multiple of the \(headCount) heads with at most \
        \(Limit.headDimension) each is expected
        """)
    }
    let layerCount = try settings.integer(
      "num_hidden_layers", default: defaults.layerCount, in: 1...Limit.layers)
    let channels = try settings.integer("num_channels", default: 3, in: 1...Limit.dimension)
    guard channels == 3 else {
      throw settings.error("num_channels", "is \(channels); only 3 are supported")
    }
    let imageSize = try settings.side("image_size") ?? defaults.imageSize
    let patchSize = try settings.side("patch_size") ?? defaults.patchSize
    guard patchSize <= imageSize else {
      throw settings.error(
        "patch_size", "is \(patchSize), larger than the image of \(imageSize) pixels")
    }

    var indices: [Int] = []
    for layer in features.layers {
      // State 0 enters the first layer, state `layerCount` leaves the last.
      let index = layer < 0 ? layerCount + 1 + layer : layer
      guard (0...layerCount).contains(index) else {
        throw settings.error(
          "num_hidden_layers", "is \(layerCount), so there is no vision feature layer \(layer)")
      }
      indices.append(index)
    }
    self.init(
      kind: defaults.kind, hiddenSize: hiddenSize,
      intermediateSize: try settings.integer(
        "intermediate_size", default: defaults.intermediateSize, in: 1...Limit.dimension),
      layerCount: indices.max() ?? layerCount, headCount: headCount, imageSize: imageSize,
      patchSize: patchSize,
      activation: try settings.choice(
        "hidden_act", default: defaults.activation, of: activationNames),
      normEpsilon: try settings.epsilon("layer_norm_eps", default: defaults.normEpsilon),
      featureLayers: indices, keepsClassRow: features.keepsClassRow && defaults.kind == .clip)
    // Products of two sides cannot overflow, and of a width and few layers neither.
    for (what, extent, limit) in [
      ("rows per image", rowCount, Limit.context),
      ("values per patch", patchWidth, Limit.dimension),
      ("values per feature", featureWidth, Limit.dimension),
    ] where extent > limit {
      throw settings.error("leads to \(extent) \(what); at most \(limit) are supported")
    }
  }
}

extension Settings {
  /// The side of a square in pixels, given as a number or as two equal ones.
  fileprivate func side(_ key: String) throws(InputError) -> Int? {
    let range = 1...Limit.side
    guard let items = self[key]?.arrayValue else { return try integer(key, in: range) }
    guard items.count == 2, items[0] == items[1] else {
      throw error(key, "is not square, which is not supported")
    }
    return try integer(items[0], key, in: range)
  }
}
