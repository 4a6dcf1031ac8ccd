package import Architecture
package import TensorCore

/// What the JSON files beside the weights say: sizes, special ids and image steps.
///
/// Three layouts are known: LLaVA as transformers saves it (`vision_config` and `text_config`),
/// the original LLaVA code's (one flat object, the vision tower in a folder of its own), and a
/// decoder alone.
package struct HuggingFaceConfiguration: Sendable {
  /// `endOfTextIDs` is empty if no file names one; `imageTokenID` may be the vocabulary size, for
  /// a placeholder without an embedding.
  package let model: ModelConfiguration
  /// Nil for a text-only model.
  package let imageSteps: ImageSteps?
  /// Paths of the files that were read.
  package let files: [String]

  /// Reads `config.json` of `folder` and its siblings.
  ///
  /// - Parameter visionTower: folder of the vision tower, for the original layout.
  package init(folder: String, visionTower: String? = nil) throws(InputError) {
    var files = ConfigurationFiles(folder: folder)
    guard let settings = try files.read("config.json") else {
      throw InputError(folder, "has no config.json, which describes the model")
    }
    if let quantization = try settings.section("quantization_config") {
      let method = try quantization.string("quant_method") ?? "an unnamed method"
      throw settings.error(
        "quantization_config", "names \(printable(method)); unquantized weights are needed")
    }
    let layout = try Layout(settings)
    if layout != .original, let visionTower {
      throw InputError(
        visionTower, "a separate vision tower is only for checkpoints of the original LLaVA code")
    }
    switch layout {
    case .transformers(let family):
      (model, imageSteps) = try files.transformersModel(settings, family)
    case .original: (model, imageSteps) = try files.originalModel(settings, tower: visionTower)
    case .textOnly(let family):
      (model, imageSteps) = (try files.textModel(settings, family: family), nil)
    }
    self.files = files.paths
  }

  /// How a checkpoint says what it is.
  private enum Layout: Equatable {
    case transformers(LlavaFamily)
    case original
    case textOnly(TextFamily)

    init(_ settings: Settings) throws(InputError) {
      let type = try settings.string("model_type")
      let architectures = (try settings.array("architectures") ?? []).compactMap(\.stringValue)
      // The original code's first models call themselves llava as well.
      if type == "llava_llama" || architectures.contains("LlavaLlamaForCausalLM")
        || type == "llava" && settings.has("mm_vision_tower")
      {
        self = .original
      } else if let family = LlavaFamily.all.first(where: { $0.modelType == type }) {
        self = .transformers(family)
      } else if let family = TextFamily.all.first(where: { $0.modelType == type }) {
        self = .textOnly(family)
      } else {
        let found = [type.map { "'\($0)'" } ?? "missing"] + architectures
        let supported =
          LlavaFamily.all.map(\.modelType) + ["llava_llama"] + TextFamily.all.map(\.modelType)
        throw settings.error(
          "model_type",
          """
          is \(printable(found.joined(separator: ", "))), which is not supported; \
          supported are \(supported.joined(separator: ", "))
          """)
      }
    }
  }
}

/// Finds the JSON files of a checkpoint and remembers which were read.
private struct ConfigurationFiles {
  /// Where the checkpoint lies.
  let folder: String
  var paths: [String] = []

  init(folder: String) { self.folder = folder }

  /// The object in file `name` of a folder, the checkpoint's own if none is given; nil if there is
  /// no such file.
  mutating func read(_ name: String, in other: String? = nil) throws(InputError) -> Settings? {
    let path = joined(other ?? folder, name)
    guard isNamed(path) else { return nil }
    let settings = try Settings(readingFile: path)
    paths.append(path)
    return settings
  }

  mutating func textModel(
    _ settings: Settings, family: TextFamily
  ) throws(InputError) -> ModelConfiguration {
    let isHeadTied = try settings.bool("tie_word_embeddings", default: false)
    let text = try family.configuration(settings, isHeadTied: isHeadTied)
    return ModelConfiguration(
      family: "llama", name: try settings.modelName(folder: folder), text: text, vision: nil,
      projector: nil, imageTokenID: nil,
      endOfTextIDs: try endOfTextIDs(
        of: [settings], vocabularySize: text.vocabularySize, default: family.endOfTextID))
  }

  mutating func transformersModel(
    _ settings: Settings, _ family: LlavaFamily
  ) throws(InputError) -> (ModelConfiguration, ImageSteps) {
    let textSettings = try settings.section("text_config") ?? settings.empty("text_config")
    let textFamily = try textSettings.textFamily(default: family.textType)
    // Either level may say it; a false beside a true is a default that was written out.
    let isTiedOutside = try settings.bool("tie_word_embeddings", default: false)
    let isTiedInside = try textSettings.bool("tie_word_embeddings", default: false)
    let text = try textFamily.configuration(
      textSettings, isHeadTied: isTiedOutside || isTiedInside)
    let vision = try visionTower(settings, family)
    let projector = ProjectorConfiguration(
      activation: try settings.choice("projector_hidden_act", default: "gelu", of: activationNames),
      hasBias: try settings.bool("multimodal_projector_bias", default: true))
    let model = ModelConfiguration(
      family: family.modelType, name: try settings.modelName(folder: folder), text: text,
      vision: vision, projector: projector,
      imageTokenID: try settings.imageTokenID(
        vocabularySize: text.vocabularySize, default: family.imageTokenID),
      endOfTextIDs: try endOfTextIDs(
        of: [textSettings, settings], vocabularySize: text.vocabularySize,
        default: textFamily.endOfTextID))
    let processor = try imageProcessor([folder])
    try processor.checkImageProcessor(of: family)
    let steps =
      if let tiling = family.tiling {
        try ImageSteps(tiles: processor, defaults: tiling, vision: vision)
      } else {
        try ImageSteps(processor, imageSize: vision.imageSize, padsToSquare: false)
      }
    return (model, steps)
  }

  private func visionTower(
    _ settings: Settings, _ family: LlavaFamily
  ) throws(InputError) -> VisionConfiguration {
    let features = try settings.transformersFeatures(family)
    let section = try settings.section("vision_config")
    let defaults =
      try section.map { (section) throws(InputError) in
        try VisionDefaults(for: section, default: family.tower.modelType)
      } ?? family.tower
    let key = "vision_feature_select_strategy"
    if defaults.kind == .siglip, !features.keepsClassRow {
      throw settings.error(key, "is 'default', but a siglip tower has no class row to drop")
    }
    var vision = try VisionConfiguration(
      section ?? settings.empty("vision_config"), defaults: defaults, features: features)
    if let tiling = family.tiling {
      guard !vision.keepsClassRow else {
        throw settings.error(key, "is 'full', but tiles have no place for a class row")
      }
      vision.tiling = try Tiling(settings, defaults: tiling, vision: vision)
    }
    return vision
  }

  mutating func originalModel(
    _ settings: Settings, tower folderOfTower: String?
  ) throws(InputError) -> (ModelConfiguration, ImageSteps) {
    let family = TextFamily.llama
    let isHeadTied = try settings.bool("tie_word_embeddings", default: false)
    let text = try family.configuration(settings, isHeadTied: isHeadTied)
    let padsToSquare = try settings.checkOriginal()

    guard let folderOfTower else {
      let tower = try settings.string("mm_vision_tower") ?? "not named"
      throw settings.error(
        "mm_vision_tower",
        """
        is \(printable(tower)), a model of its own: give the folder that holds it (--vision-tower)
        """)
    }
    guard let tower = try read("config.json", in: folderOfTower) else {
      throw InputError(folderOfTower, "has no config.json, which describes the vision tower")
    }
    let isWholeCLIP = try tower.string("model_type") == "clip"
    let visionSettings =
      isWholeCLIP ? try tower.section("vision_config") ?? tower.empty("vision_config") : tower
    let vision = try VisionConfiguration(
      visionSettings,
      defaults: VisionDefaults(
        for: visionSettings, default: VisionDefaults.clip.modelType, of: [.clip]),
      features: settings.originalFeatures())
    let width = try settings.integer(
      "mm_hidden_size", default: vision.featureWidth, in: 1...Limit.dimension)
    guard width == vision.featureWidth else {
      throw settings.error(
        "mm_hidden_size", "is \(width); the vision tower gives \(vision.featureWidth)")
    }
    let model = ModelConfiguration(
      family: "llava", name: try settings.modelName(folder: folder), text: text, vision: vision,
      projector: ProjectorConfiguration(activation: .gelu, hasBias: true),
      // The original code splices image rows in by itself: the placeholder is no token.
      imageTokenID: text.vocabularySize,
      endOfTextIDs: try endOfTextIDs(
        of: [settings], vocabularySize: text.vocabularySize, default: family.endOfTextID))
    let processor = try imageProcessor([folderOfTower, folder])
    try processor.checkImageProcessor(of: .llava)
    let steps = try ImageSteps(
      processor, imageSize: vision.imageSize, padsToSquare: padsToSquare)
    return (model, steps)
  }

  /// The image processor's settings in the first folder that has any.
  ///
  /// transformers 5 may write them into `processor_config.json`, which then goes first.
  mutating func imageProcessor(_ folders: [String]) throws(InputError) -> Settings {
    for folder in folders {
      let whole = try read("processor_config.json", in: folder)
      if let processor = try whole?.section("image_processor") { return processor }
      if let processor = try read("preprocessor_config.json", in: folder) { return processor }
    }
    throw InputError(
      folders[0], "has no preprocessor_config.json, which says how images become pixels")
  }

  /// Ids that end an answer: of `generation_config.json`, else of the configuration, else
  /// `fallback` if the vocabulary has it.
  mutating func endOfTextIDs(
    of configurations: [Settings], vocabularySize: Int, default fallback: Int?
  ) throws(InputError) -> [Int] {
    let key = "eos_token_id"
    let generation = try read("generation_config.json")
    for settings in (generation.map { [$0] } ?? []) + configurations {
      guard let value = settings[key] else { continue }
      let items = value.arrayValue ?? [value]
      guard items.count <= Limit.endOfTextIDs else {
        throw settings.error(
          key, "has \(items.count) ids; at most \(Limit.endOfTextIDs) are supported")
      }
      var ids: [Int] = []
      for item in items {
        let id = try settings.integer(item, key, in: 0...vocabularySize - 1)
        if !ids.contains(id) { ids.append(id) }
      }
      return ids
    }
    return fallback.map { $0 < vocabularySize ? [$0] : [] } ?? []
  }
}

extension Settings {
  /// The name of the model, for people: what the file says, else the folder's name.
  fileprivate func modelName(folder: String) throws(InputError) -> String {
    let given = try string("_name_or_path") ?? ""
    // A path on the author's machine says no more than its last part.
    let isPath = given.isEmpty || given.hasPrefix("/") || given.hasPrefix(".")
    let name = isPath ? lastComponent(given.isEmpty ? folder : given) : given
    return printable(name, limit: 60)
  }

  /// The family of the decoder that this `text_config` describes.
  ///
  /// - Parameter type: its `model_type` if it does not say one.
  fileprivate func textFamily(default type: String) throws(InputError) -> TextFamily {
    try choice("model_type", default: type, of: TextFamily.all.map { ($0.modelType, $0) })
  }

  /// `vision_feature_layer` (one or several) and `vision_feature_select_strategy`.
  fileprivate func transformersFeatures(
    _ family: LlavaFamily
  ) throws(InputError) -> FeatureChoice {
    let key = "vision_feature_layer"
    let items = self[key]?.arrayValue ?? [self[key] ?? .integer(family.featureLayer)]
    guard (1...Limit.featureLayers).contains(items.count) else {
      throw error(key, "has \(items.count) layers; 1...\(Limit.featureLayers) are expected")
    }
    var layers: [Int] = []
    for item in items {
      layers.append(try integer(item, key, in: -Limit.layers - 1...Limit.layers))
    }
    return FeatureChoice(
      layers: layers,
      keepsClassRow: try choice(
        "vision_feature_select_strategy", default: family.featureStrategy,
        of: [("default", false), ("full", true)]))
  }

  /// `image_token_index`, also known as `image_token_id`; `fallback` if neither is there.
  fileprivate func imageTokenID(
    vocabularySize: Int, default fallback: Int
  ) throws(InputError) -> Int {
    let range = 0...vocabularySize
    let index = try integer("image_token_index", in: range)
    let id = try integer("image_token_id", in: range)
    if let index, let id, index != id {
      throw error("image_token_id", "is \(id), but 'image_token_index' is \(index)")
    }
    guard let found = index ?? id else {
      guard range.contains(fallback) else { throw error("image_token_index", "is missing") }
      return fallback
    }
    return found
  }

  /// `mm_vision_select_layer` and `mm_vision_select_feature` of the original code.
  fileprivate func originalFeatures() throws(InputError) -> FeatureChoice {
    let layer = try integer(
      "mm_vision_select_layer", default: -2, in: -Limit.layers - 1...Limit.layers)
    return FeatureChoice(
      layers: [layer],
      keepsClassRow: try choice(
        "mm_vision_select_feature", default: "patch", of: [("patch", false), ("cls_patch", true)]))
  }

  /// Refuses variants of the original code that compute something else.
  ///
  /// - Returns: whether images are padded to a square.
  fileprivate func checkOriginal() throws(InputError) -> Bool {
    guard has("mm_projector_type") else {
      throw error(
        "mm_projector_type", "is missing: only mlp2x_gelu is supported, which LLaVA-1.5 has")
    }
    _ = try choice("mm_projector_type", default: "", of: [("mlp2x_gelu", ())])
    _ = try choice("mm_patch_merge_type", default: "flat", of: [("flat", ())])
    if try bool("mm_use_im_start_end", default: false) {
      throw error("mm_use_im_start_end", "is true, which is not supported")
    }
    return try choice(
      "image_aspect_ratio", default: "square", of: [("square", false), ("pad", true)])
  }
}
