import Architecture
import TensorCore

/// Section MODL: what the model is, as JSON.
enum ModelCodec {
  static let format = 1

  /// Rules that older readers do not know.
  private enum Rule: String, CaseIterable {
    /// `vision.tiles`.
    case tiles
    /// `vision.kind` is `siglip`.
    case siglip
    /// `question_start` of section cHAt.
    case questionStart = "question_start"
  }

  private static func rules(
    _ configuration: ModelConfiguration, _ template: PromptTemplate
  ) -> [Rule] {
    var rules: [Rule] = []
    if configuration.vision?.tiling != nil { rules.append(.tiles) }
    if configuration.vision?.kind == .siglip { rules.append(.siglip) }
    if !template.questionStart.isEmpty { rules.append(.questionStart) }
    return rules
  }

  static func encode(
    _ configuration: ModelConfiguration, template: PromptTemplate
  ) -> [UInt8] {
    var members: [(String, JSONValue)] = [
      ("format", .integer(format)),
      ("must_understand", .array(rules(configuration, template).map { .string($0.rawValue) })),
      ("family", .string(configuration.family)),
      ("name", .string(configuration.name)),
      ("text", encode(configuration.text)),
      ("end_of_text", .array(configuration.endOfTextIDs.map { .integer($0) })),
    ]
    if let vision = configuration.vision { members.append(("vision", encode(vision))) }
    if let projector = configuration.projector {
      members.append(
        (
          "projector",
          [
            "activation": .string(projector.activation.rawValue), "bias": .bool(projector.hasBias),
          ]
        ))
    }
    if let id = configuration.imageTokenID { members.append(("image_token", .integer(id))) }
    return JSONValue.object(JSONObject(members)).canonicalBytes
  }

  private static func encode(_ text: TextConfiguration) -> JSONValue {
    [
      "layers": .integer(text.layerCount), "width": .integer(text.hiddenSize),
      "ffn": .integer(text.intermediateSize), "heads": .integer(text.headCount),
      "kv_heads": .integer(text.keyValueHeadCount), "head_dim": .integer(text.headDimension),
      "vocab": .integer(text.vocabularySize), "context": .integer(text.contextLength),
      "norm_eps": JSONValue(text.normEpsilon), "activation": .string(text.activation.rawValue),
      "rope": encode(text.rope), "tied_head": .bool(text.isHeadTied),
      "bias": [
        "qkv": .bool(text.hasQueryKeyValueBias), "output": .bool(text.hasOutputBias),
        "ffn": .bool(text.hasMLPBias),
      ],
    ]
  }

  private static func encode(_ rope: RoPEConfiguration) -> JSONValue {
    let scaling: JSONValue
    switch rope.scaling {
    case .none: scaling = ["kind": "none"]
    case .linear(let factor): scaling = ["kind": "linear", "factor": JSONValue(factor)]
    case .llama3(let factor, let low, let high, let original):
      scaling = [
        "kind": "llama3", "factor": JSONValue(factor), "low": JSONValue(low),
        "high": JSONValue(high), "original": .integer(original),
      ]
    }
    return ["theta": JSONValue(rope.theta), "scaling": scaling]
  }

  private static func encode(_ vision: VisionConfiguration) -> JSONValue {
    var members: [(String, JSONValue)] = [
      ("width", .integer(vision.hiddenSize)), ("ffn", .integer(vision.intermediateSize)),
      ("layers", .integer(vision.layerCount)), ("heads", .integer(vision.headCount)),
      ("image", .integer(vision.imageSize)), ("patch", .integer(vision.patchSize)),
      ("activation", .string(vision.activation.rawValue)),
      ("norm_eps", JSONValue(vision.normEpsilon)),
      ("feature_layers", .array(vision.featureLayers.map { .integer($0) })),
      ("class_row", .bool(vision.keepsClassRow)),
    ]
    // What the first files had is not said, so that they stay as they are.
    if vision.kind != .clip { members.append(("kind", .string(vision.kind.rawValue))) }
    if let tiling = vision.tiling { members.append(("tiles", encode(tiling))) }
    return .object(JSONObject(members))
  }

  private static func encode(_ tiling: Tiling) -> JSONValue {
    var members: [(String, JSONValue)] = [
      ("grids", .array(tiling.grids.map { [.integer($0.columns), .integer($0.rows)] }))
    ]
    if let limit = tiling.thinningLimit { members.append(("thin_above", .integer(limit))) }
    return .object(JSONObject(members))
  }

  static func decode(_ bytes: [UInt8], file: String) throws(InputError) -> ModelConfiguration {
    let model = try JSONFields(parsing: bytes, section: .model, file: file)
    _ = try model.integer("format", in: format...format)
    if model.has("must_understand") {
      let rules = try model.array("must_understand", count: 0...VTWMLimits.sections)
      if let unknown = rules.first(where: { Rule(rawValue: $0.stringValue ?? "") == nil }) {
        throw model.error(
          "must_understand",
          "lists \(printable(unknown.canonicalText)), which this build does not know"
            + " (a newer vtwrun is needed)")
      }
    }
    let text = try decodeText(try model.fields("text"))
    var configuration = ModelConfiguration(
      family: try model.string("family", limit: VTWMLimits.nameSize),
      name: try model.string("name", limit: VTWMLimits.nameSize),
      text: text, vision: nil, projector: nil, imageTokenID: nil,
      endOfTextIDs: try model.integers(
        "end_of_text", count: 0...VTWMLimits.endOfTextIDs, in: 0...text.vocabularySize - 1))
    guard model.has("vision") == model.has("projector"),
      model.has("vision") == model.has("image_token")
    else {
      throw model.error(
        "vision", "'projector' and 'image_token' must be there together or not at all")
    }
    if model.has("vision") {
      let vision = try decodeVision(try model.fields("vision"))
      let projector = try model.fields("projector")
      configuration.vision = vision
      configuration.projector = ProjectorConfiguration(
        activation: try projector.choice("activation"), hasBias: try projector.bool("bias"))
      // The placeholder is never embedded, so it may lie just past the embedding's rows.
      configuration.imageTokenID = try model.integer("image_token", in: 0...text.vocabularySize)
    }
    return configuration
  }

  private static func decodeText(_ text: JSONFields) throws(InputError) -> TextConfiguration {
    let heads = try text.integer("heads", in: 1...VTWMLimits.heads)
    let keyValueHeads = try text.integer("kv_heads", in: 1...heads)
    guard heads.isMultiple(of: keyValueHeads) else {
      throw text.error("kv_heads", "is \(keyValueHeads), which does not divide \(heads) heads")
    }
    let headDimension = try text.integer("head_dim", in: 2...VTWMLimits.headDimension)
    guard headDimension.isMultiple(of: 2) else {
      throw text.error("head_dim", "is \(headDimension); rotary positions need an even number")
    }
    let bias = try text.fields("bias")
    return TextConfiguration(
      layerCount: try text.integer("layers", in: 1...VTWMLimits.layers),
      hiddenSize: try text.integer("width", in: 1...VTWMLimits.dimension),
      intermediateSize: try text.integer("ffn", in: 1...VTWMLimits.dimension),
      headCount: heads, keyValueHeadCount: keyValueHeads, headDimension: headDimension,
      vocabularySize: try text.integer("vocab", in: 1...VTWMLimits.vocabulary),
      contextLength: try text.integer("context", in: 1...VTWMLimits.context),
      normEpsilon: try text.float("norm_eps", in: 0...1),
      activation: try text.choice("activation"),
      rope: try decodeRoPE(try text.fields("rope")),
      isHeadTied: try text.bool("tied_head"),
      hasQueryKeyValueBias: try bias.bool("qkv"), hasOutputBias: try bias.bool("output"),
      hasMLPBias: try bias.bool("ffn"))
  }

  private enum ScalingKind: String, CaseIterable {
    case none, linear, llama3
  }

  private static func decodeRoPE(_ rope: JSONFields) throws(InputError) -> RoPEConfiguration {
    let fields = try rope.fields("scaling")
    let factors = Float.leastNormalMagnitude...Float.greatestFiniteMagnitude
    let scaling: RoPEConfiguration.Scaling
    switch try fields.choice("kind", ScalingKind.self) {
    case .none: scaling = .none
    case .linear: scaling = .linear(factor: try fields.float("factor", in: factors))
    case .llama3:
      let low = try fields.float("low", in: factors)
      let high = try fields.float("high", in: factors)
      guard low < high else {
        throw fields.error("high", "is \(high), not more than 'low', \(low)")
      }
      scaling = .llama3(
        factor: try fields.float("factor", in: factors), lowFrequencyFactor: low,
        highFrequencyFactor: high,
        originalContextLength: try fields.integer("original", in: 1...VTWMLimits.context))
    }
    return RoPEConfiguration(theta: try rope.float("theta", in: factors), scaling: scaling)
  }

  private static func decodeVision(_ vision: JSONFields) throws(InputError) -> VisionConfiguration {
    let width = try vision.integer("width", in: 1...VTWMLimits.dimension)
    let heads = try vision.integer("heads", in: 1...VTWMLimits.heads)
    guard width.isMultiple(of: heads) else {
      throw vision.error("heads", "is \(heads), which does not divide the width \(width)")
    }
    let layers = try vision.integer("layers", in: 0...VTWMLimits.layers)
    let image = try vision.integer("image", in: 1...VTWMLimits.imageSide)
    let featureLayers = try vision.integers(
      "feature_layers", count: 1...VTWMLimits.featureLayers, in: 0...layers)
    var configuration = VisionConfiguration(
      kind: vision.has("kind") ? try vision.choice("kind") : .clip, hiddenSize: width,
      intermediateSize: try vision.integer("ffn", in: 1...VTWMLimits.dimension),
      layerCount: layers, headCount: heads, imageSize: image,
      patchSize: try vision.integer("patch", in: 1...image),
      activation: try vision.choice("activation"),
      normEpsilon: try vision.float("norm_eps", in: 0...1), featureLayers: featureLayers,
      keepsClassRow: try vision.bool("class_row"))
    // Derived extents of tensors and rows keep the same caps as stated ones.
    for (key, value, limit) in [
      ("feature_layers", configuration.featureWidth, VTWMLimits.dimension),
      ("patch", configuration.patchWidth, VTWMLimits.dimension),
      ("image", configuration.rowCount, VTWMLimits.context),
    ] where value > limit {
      throw vision.error(key, "leads to an extent of \(value); at most \(limit) expected")
    }
    guard configuration.kind == .clip || !configuration.keepsClassRow else {
      throw vision.error("class_row", "is true, but a siglip tower has none")
    }
    if vision.has("tiles") {
      guard !configuration.keepsClassRow else {
        throw vision.error("class_row", "is true, but tiles have no place for it")
      }
      configuration.tiling = try decodeTiling(
        try vision.fields("tiles"), tileSide: image, patchesPerTile: configuration.patchCount)
    }
    return configuration
  }

  private static func decodeTiling(
    _ tiles: JSONFields, tileSide: Int, patchesPerTile: Int
  ) throws(InputError) -> Tiling {
    var grids: [TileGrid] = []
    for item in try tiles.array("grids", count: 1...TilingLimits.grids) {
      let sides = (item.arrayValue ?? []).compactMap(\.integerValue)
      guard sides.count == 2, item.arrayValue?.count == 2 else {
        throw tiles.error("grids", "holds \(item.kind); pairs of columns and rows expected")
      }
      guard
        let grid = TileGrid(
          columns: sides[0], rows: sides[1], tileSide: tileSide, patchesPerTile: patchesPerTile)
      else {
        throw tiles.error(
          "grids", "holds \(sides[0]) x \(sides[1]) tiles, which \(TilingLimits.text) forbid")
      }
      grids.append(grid)
    }
    return Tiling(
      grids: grids,
      thinningLimit: tiles.has("thin_above")
        ? try tiles.integer("thin_above", in: 1...TilingLimits.tiles) : nil)
  }
}
