import Architecture
import TensorCore

/// Vision tower and projector of a LLaVA-1.5 or 1.6, from the GGUF file that llama.cpp calls mmproj.
struct GGUFVisionModel {
  private let shards: GGUFShards
  private let metadata: GGUFMetadata
  private(set) var tensors: NamedTensors
  /// Whether pictures are cut into tiles: LLaVA-1.6.
  let isTiled: Bool

  init(_ shards: GGUFShards) throws(InputError) {
    self.shards = shards
    metadata = shards.metadata
    tensors = try NamedTensors(shards.tensors, source: metadata.file, names: GGUFNames.vision)
    let key = "general.architecture"
    let architecture = try metadata.string(key, atMost: 255) ?? "missing"
    guard architecture == "clip" else {
      throw metadata.error(
        key,
        "is '\(printable(architecture, limit: 60))'; 'clip' is needed of a vision tower (mmproj)")
    }
    for key in ["clip.projector_type", "clip.vision.projector_type"] {
      let type = try metadata.string(key, atMost: 255) ?? "mlp"
      guard type == "mlp" else {
        throw metadata.error(
          key, "is '\(printable(type, limit: 60))', which is not supported (mlp is)")
      }
    }
    for key in ["clip.has_vision_encoder", "clip.has_llava_projector"] {
      guard try metadata.bool(key) ?? true else {
        throw metadata.error(key, "is false: LLaVA needs a vision tower with a projector")
      }
    }
    guard shards.tensors["v.patch_embd.bias"] == nil else {
      throw metadata.error(
        "is a SigLIP tower, as LLaVA-OneVision has, which is supported from safetensors only")
    }
    isTiled = try metadata.choice(
      "clip.vision.mm_patch_merge_type", default: "flat",
      of: [("flat", false), ("spatial_unpad", true)])
    orderFeedForward()
  }

  /// Old files have the names of the two feed-forward matrices swapped; their shapes tell.
  private mutating func orderFeedForward() {
    func swap(_ a: TensorRole, _ b: TensorRole, _ layer: Int) {
      let (a, b) = (TensorKey(a, layer: layer), TensorKey(b, layer: layer))
      (tensors.byKey[a], tensors.byKey[b]) = (tensors.byKey[b], tensors.byKey[a])
    }
    let layers = tensors.byKey.keys.filter { $0.role == .visionUp }.compactMap(\.layer)
    for layer in layers {
      // The first matrix reads rows of the tower's width, which the second one writes.
      guard let up = tensors.byKey[TensorKey(.visionUp, layer: layer)],
        let width = tensors.byKey[TensorKey(.visionAttentionNorm, layer: layer)]?.rowCount,
        up.columnCount != width, up.rowCount == width
      else { continue }
      swap(.visionUp, .visionDown, layer)
      swap(.visionUpBias, .visionDownBias, layer)
    }
  }

  func configuration() throws(InputError) -> VisionConfiguration {
    func key(_ name: String) -> String { "clip.vision." + name }
    let hiddenSize = try metadata.required(key("embedding_length"), in: 1...Limit.dimension)
    let headCount = try metadata.required(key("attention.head_count"), in: 1...Limit.heads)
    guard hiddenSize.isMultiple(of: headCount), hiddenSize / headCount <= Limit.headDimension else {
      throw metadata.error(
        key("embedding_length"),
        "is \(hiddenSize); a multiple of the \(headCount) heads with at most "
          + "\(Limit.headDimension) each is expected")
    }
    let imageSize = try metadata.required(key("image_size"), in: 1...Limit.side)
    let patchSize = try metadata.required(key("patch_size"), in: 1...imageSize)
    // Files of llama.cpp's converter end with the layer that gives the features.
    let named = try metadata.required(key("block_count"), in: 1...Limit.layers)
    let stored = (0..<named).prefix {
      tensors.byKey[TensorKey(.visionAttentionNorm, layer: $0)] != nil
    }.count
    let featureKey = key("feature_layer")
    guard stored > 0 else { throw metadata.error("has no tensors of a vision layer (v.blk.0.)") }
    let features =
      try metadata.integers(featureKey, atMost: Limit.featureLayers) ?? [
        hasWholeTower ? max(stored - 1, 0) : stored
      ]
    guard !features.isEmpty, features.allSatisfy((0...named).contains) else {
      throw metadata.error(
        featureKey, "is \(features); layers in 0...\(named) are expected")
    }
    var vision = VisionConfiguration(
      hiddenSize: hiddenSize,
      intermediateSize: try metadata.required(
        key("feed_forward_length"), in: 1...Limit.dimension),
      layerCount: features.max() ?? stored, headCount: headCount, imageSize: imageSize,
      patchSize: patchSize, activation: try activation(),
      normEpsilon: try metadata.epsilon(key("attention.layer_norm_epsilon")),
      featureLayers: features, keepsClassRow: false)
    for (what, extent, limit) in [
      ("rows per image", vision.rowCount, Limit.context),
      ("values per patch", vision.patchWidth, Limit.dimension),
      ("values per feature", vision.featureWidth, Limit.dimension),
    ] where extent > limit {
      throw metadata.error("leads to \(extent) \(what); at most \(limit) are supported")
    }
    if isTiled { vision.tiling = try tiling(vision) }
    return vision
  }

  /// The sizes of grids in pixels, width first as in the original code.
  private func tiling(_ vision: VisionConfiguration) throws(InputError) -> Tiling {
    let key = "clip.vision.image_grid_pinpoints"
    guard let sides = try metadata.integers(key, atMost: 2 * TilingLimits.grids) else {
      throw metadata.error(key, "is missing, which LLaVA-1.6 needs")
    }
    guard !sides.isEmpty, sides.count.isMultiple(of: 2) else {
      throw metadata.error(
        key, "has \(sides.count) numbers; pairs of width and height are expected")
    }
    var grids: [TileGrid] = []
    for place in stride(from: 0, to: sides.count, by: 2) {
      let (width, height) = (sides[place], sides[place + 1])
      guard let grid = TileGrid(height: height, width: width, vision: vision) else {
        throw metadata.error(
          key, "has a size of \(width) x \(height), which \(TileGrid.rule(for: vision))")
      }
      grids.append(grid)
    }
    return Tiling(grids: grids)
  }

  /// Whether the tower has the norm behind its last layer; LLaVA-1.5 then takes its features from
  /// the last layer but one.
  private var hasWholeTower: Bool { shards.tensors["v.post_ln.weight"] != nil }

  private func activation() throws(InputError) -> Activation {
    if try metadata.bool("clip.use_gelu") ?? false { return .gelu }
    if try metadata.bool("clip.use_silu") ?? false { return .silu }
    return .quickGELU
  }

  func projector() -> ProjectorConfiguration {
    ProjectorConfiguration(
      activation: .gelu, hasBias: tensors.byKey[TensorKey(.projectorInBias)] != nil)
  }

  /// The steps of the original LLaVA.  1.5, which llama.cpp follows there, pads to a square with the
  /// mean colour, unless the file says otherwise; 1.6 cuts tiles.
  func imageSteps(imageSize: Int) throws(InputError) -> ImageSteps {
    let bound = Limit.imageConstants.upperBound
    let mean = try channels("clip.vision.image_mean", in: -bound...bound)
    let deviation = try channels("clip.vision.image_std", in: Limit.imageConstants)
    let resize: ImageSteps.Resize
    switch try aspect() {
    case .tiles: resize = .exact(size: imageSize)
    case .square: resize = .shortestEdge(size: imageSize)
    case .pad:
      let color = mean.map { Int(($0 * 255).rounded(.towardZero)) }
      guard color.allSatisfy((0...255).contains) else {
        throw metadata.error(
          "clip.vision.image_mean", "is outside 0...1, but images are padded with it")
      }
      resize = .padSquare(size: imageSize, color: color)
    }
    return ImageSteps(
      resize: resize, filter: .bicubic, cropSize: isTiled ? nil : imageSize,
      rescaleFactor: 1 / 255, mean: mean, standardDeviation: deviation)
  }

  private enum Aspect { case pad, square, tiles }

  private func aspect() throws(InputError) -> Aspect {
    let names: [(String, Aspect)] =
      isTiled ? [("anyres", .tiles)] : [("pad", .pad), ("square", .square)]
    return try metadata.choice(
      "clip.vision.image_aspect_ratio", default: names[0].0, of: names)
  }

  private func channels(
    _ key: String, in range: ClosedRange<Double>
  ) throws(InputError) -> [Double] {
    guard let numbers = try metadata.floats(key, atMost: 3) else {
      throw metadata.error(key, "is missing")
    }
    guard numbers.count == 3, numbers.allSatisfy(range.contains) else {
      throw metadata.error(key, "is \(numbers); 3 numbers in \(range) are expected")
    }
    // Files hold f32; the shortest decimal that is the same f32 is what was meant.
    return numbers.map { Double(Float($0).description) ?? $0 }
  }
}
