import Architecture
import Checkpoints
import TensorCore
import TestSupport
import Testing

@Suite struct HuggingFaceConfigurationTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func read(_ tiny: TinyCheckpoint) throws -> HuggingFaceConfiguration {
    try HuggingFaceConfiguration(folder: tiny.write(to: folder))
  }

  /// What the tiny checkpoint's configuration becomes with the member at `path` changed.
  private func read(_ path: String, _ value: JSONValue?) throws -> HuggingFaceConfiguration {
    var tiny = TinyCheckpoint()
    tiny.config = tiny.config.setting(path, value)
    return try read(tiny)
  }

  @Test func readsSizes() throws {
    let model = try read(TinyCheckpoint()).model
    #expect(
      model.text
        == TextConfiguration(
          layerCount: 2, hiddenSize: 8, intermediateSize: 6, headCount: 2, keyValueHeadCount: 1,
          headDimension: 4, vocabularySize: 12, contextLength: 64, normEpsilon: 1e-5,
          rope: RoPEConfiguration(theta: 10000)))
    #expect(
      model.vision
        == VisionConfiguration(
          hiddenSize: 4, intermediateSize: 5, layerCount: 1, headCount: 2, imageSize: 7,
          patchSize: 3, activation: .quickGELU, normEpsilon: 1e-5, featureLayers: [1],
          keepsClassRow: false))
    #expect(model.projector == ProjectorConfiguration(activation: .gelu, hasBias: true))
  }

  @Test func assumesWhatTransformersAssumes() throws {
    var tiny = TinyCheckpoint()
    tiny.config = ["model_type": "llava"]
    tiny.processor = ["size": 336, "crop_size": 336]
    let model = try read(tiny).model
    #expect(
      model.text
        == TextConfiguration(
          layerCount: 32, hiddenSize: 4096, intermediateSize: 11008, headCount: 32,
          keyValueHeadCount: 32, headDimension: 128, vocabularySize: 32000, contextLength: 2048,
          normEpsilon: 1e-6, rope: RoPEConfiguration(theta: 10000)))
    #expect(
      model.vision
        == VisionConfiguration(
          hiddenSize: 1024, intermediateSize: 4096, layerCount: 23, headCount: 16, imageSize: 336,
          patchSize: 14, activation: .quickGELU, normEpsilon: 1e-5, featureLayers: [23],
          keepsClassRow: false))
    #expect(model.vision?.rowsPerTile == 576)
    #expect(model.imageTokenID == 32000)

    tiny.config = ["model_type": "llava", "vision_config": [:], "text_config": nil]
    tiny.processor = [:]
    let clip = try read(tiny).model.vision
    #expect(clip?.hiddenSize == 768)
    #expect(clip?.featureLayers == [11])
    #expect(clip?.patchSize == 32)
  }

  @Test func countsFeatureLayersFromEitherEnd() throws {
    for (layers, states): (JSONValue, [Int]) in [
      (-1, [2]), (-2, [1]), (-3, [0]), (0, [0]), (2, [2]), ([-2, -1], [1, 2]), ([1], [1]),
    ] {
      let vision = try read("vision_feature_layer", layers).model.vision
      #expect(vision?.featureLayers == states)
      #expect(vision?.layerCount == states.max())
    }
    #expect(try read("vision_feature_select_strategy", "full").model.vision?.keepsClassRow == true)
  }

  @Test func takesTheImageTokenUnderBothNames() throws {
    var tiny = TinyCheckpoint()
    tiny.config = tiny.config.setting("image_token_index", nil).setting("image_token_id", 7)
    #expect(try read(tiny).model.imageTokenID == 7)
    tiny.config = tiny.config.setting("image_token_index", 7)
    #expect(try read(tiny).model.imageTokenID == 7)
  }

  @Test func takesTheRotaryBaseFromEitherPlace() throws {
    #expect(try read("text_config.rope_theta", 5e5).model.text.rope.theta == 500_000)
    #expect(
      try read("text_config.rope_parameters", ["rope_theta": 1_000_000]).model.text.rope.theta
        == 1_000_000)
  }

  @Test func readsRotaryScalings() throws {
    let linear: JSONValue = ["type": "linear", "factor": 4]
    #expect(
      try read("text_config.rope_scaling", linear).model.text.rope.scaling == .linear(factor: 4))
    let plain: JSONValue = ["rope_type": "default", "rope_theta": 10000.0]
    #expect(try read("text_config.rope_parameters", plain).model.text.rope.scaling == .none)
    #expect(try read("text_config.rope_scaling", .null).model.text.rope.scaling == .none)
    let llama3: JSONValue = [
      "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 32,
    ]
    #expect(
      try read("text_config.rope_scaling", llama3).model.text.rope.scaling
        == .llama3(
          factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 32))
    #expect(
      try read(
        "text_config.rope_scaling", llama3.setting("original_max_position_embeddings", nil)
      ).model.text.rope.scaling
        == .llama3(
          factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 64))
  }

  @Test func readsHeadsAndBiases() throws {
    #expect(try read("text_config.head_dim", 6).model.text.queryWidth == 12)
    #expect(try read("text_config.num_key_value_heads", .null).model.text.keyValueHeadCount == 2)
    #expect(try read("text_config.num_key_value_heads", nil).model.text.keyValueHeadCount == 2)
    let text = try read("text_config.attention_bias", true).model.text
    #expect(text.hasQueryKeyValueBias && text.hasOutputBias && !text.hasMLPBias)
    #expect(try read("text_config.mlp_bias", true).model.text.hasMLPBias)
    #expect(try read("multimodal_projector_bias", false).model.projector?.hasBias == false)
  }

  @Test func tiesTheHeadIfEitherLevelSaysSo() throws {
    #expect(try read("tie_word_embeddings", true).model.text.isHeadTied)
    #expect(try read("text_config.tie_word_embeddings", true).model.text.isHeadTied)
    #expect(try !read("tie_word_embeddings", false).model.text.isHeadTied)
  }

  @Test func knowsTheFamiliesOfDecoders() throws {
    var tiny = TinyCheckpoint()
    tiny.config = ["model_type": "mistral"]
    let mistral = try read(tiny).model.text
    #expect(mistral.intermediateSize == 14336)
    #expect(mistral.keyValueHeadCount == 8)
    #expect(mistral.contextLength == 4096)
    tiny.config = ["model_type": "mistral", "sliding_window": nil]
    #expect(try read(tiny).model.text.contextLength == 131072)

    tiny.config = ["model_type": "qwen2", "attention_bias": false]
    let qwen = try read(tiny).model
    #expect(qwen.text.hasQueryKeyValueBias && !qwen.text.hasOutputBias)
    #expect(qwen.text.vocabularySize == 151936)
    #expect(qwen.text.contextLength == 32768)
    #expect(qwen.endOfTextIDs.isEmpty)
    tiny.config = ["model_type": "qwen2", "use_sliding_window": true, "sliding_window": 100]
    #expect(try read(tiny).model.text.contextLength == 100)

    #expect(try read("text_config.model_type", "qwen2").model.text.hasQueryKeyValueBias)
  }

  @Test func takesTheEndOfAnAnswerFromTheBestSource() throws {
    var tiny = TinyCheckpoint()
    #expect(try read(tiny).model.endOfTextIDs == [2])
    tiny.config = tiny.config.setting("eos_token_id", 3)
    #expect(try read(tiny).model.endOfTextIDs == [3])
    tiny.config = tiny.config.setting("text_config.eos_token_id", [4, 5, 4])
    #expect(try read(tiny).model.endOfTextIDs == [4, 5])
    tiny.generation = ["eos_token_id": 6]
    #expect(try read(tiny).model.endOfTextIDs == [6])
    tiny.generation = ["eos_token_id": [7, 8]]
    #expect(try read(tiny).model.endOfTextIDs == [7, 8])
    tiny.generation = ["eos_token_id": 12]
    let file = folder.path("tiny/generation_config.json")
    #expect(throws: InputError(file, "'eos_token_id' is 12; 0...11 is expected")) { try read(tiny) }
  }

  @Test func namesTheModel() throws {
    #expect(try read(TinyCheckpoint()).model.name == "tiny")
    #expect(try read("_name_or_path", "org/llava").model.name == "org/llava")
    #expect(try read("_name_or_path", "/home/me/out/llava-x/").model.name == "llava-x")
    #expect(try read("_name_or_path", "").model.name == "tiny")
  }

  @Test(
    arguments: [
      (
        "model_type", "qwen2_vl",
        """
        'model_type' is 'qwen2_vl', LlavaForConditionalGeneration, which is not supported; \
        supported are llava, llava_next, llava_onevision, llava_llama, llama, mistral, qwen2
        """
      ),
      (
        "model_type", .null,
        """
        'model_type' is missing, LlavaForConditionalGeneration, which is not supported; \
        supported are llava, llava_next, llava_onevision, llava_llama, llama, mistral, qwen2
        """
      ),
      (
        "quantization_config", ["quant_method": "awq"],
        "'quantization_config' names awq; unquantized weights are needed"
      ),
      ("text_config", [], "'text_config' is an array; an object is expected"),
      (
        "text_config.model_type", "gemma",
        "'text_config.model_type' is 'gemma', which is not supported (llama, mistral, qwen2 are)"
      ),
      ("text_config.hidden_size", 0, "'text_config.hidden_size' is 0; 1...16777216 is expected"),
      (
        "text_config.hidden_size", 8.0,
        "'text_config.hidden_size' is a number; an integer is expected"
      ),
      (
        "text_config.hidden_size", 9,
        "'text_config.hidden_size' is 9, not a multiple of the 2 heads"
      ),
      (
        "text_config.hidden_size", 4098,
        "'text_config.head_dim' is 2049; rotary positions need an even size of at most 1024"
      ),
      (
        "text_config.head_dim", 3,
        "'text_config.head_dim' is 3; rotary positions need an even size of at most 1024"
      ),
      ("text_config.head_dim", 1026, "'text_config.head_dim' is 1026; 1...1024 is expected"),
      (
        "text_config.num_attention_heads", 1025,
        "'text_config.num_attention_heads' is 1025; 1...1024 is expected"
      ),
      (
        "text_config.num_key_value_heads", 3,
        "'text_config.num_key_value_heads' is 3, which does not divide 2 heads"
      ),
      (
        "text_config.num_hidden_layers", 1025,
        "'text_config.num_hidden_layers' is 1025; 1...1024 is expected"
      ),
      (
        "text_config.vocab_size", 2097153,
        "'text_config.vocab_size' is 2097153; 1...2097152 is expected"
      ),
      (
        "text_config.max_position_embeddings", 1048577,
        "'text_config.max_position_embeddings' is 1048577; 1...1048576 is expected"
      ),
      (
        "text_config.rms_norm_eps", 0,
        "'text_config.rms_norm_eps' is 0.0; a number above 0 is expected"
      ),
      (
        "text_config.rms_norm_eps", 1e39,
        "'text_config.rms_norm_eps' is 1e+39; a number above 0 is expected"
      ),
      (
        "text_config.rms_norm_eps", 2,
        "'text_config.rms_norm_eps' is 2.0; at most 1 is expected"
      ),
      (
        "text_config.rms_norm_eps", 1e-60,
        "'text_config.rms_norm_eps' is 1e-60; a number above 0 is expected"
      ),
      (
        "text_config.rms_norm_eps", "x",
        "'text_config.rms_norm_eps' is a string; a number is expected"
      ),
      (
        "text_config.hidden_act", "relu",
        """
        'text_config.hidden_act' is 'relu', which is not supported (silu, swish, gelu, \
        gelu_pytorch_tanh, gelu_new, gelu_fast, quick_gelu are)
        """
      ),
      (
        "text_config.attention_bias", 1,
        "'text_config.attention_bias' is an integer; true or false is expected"
      ),
      (
        "text_config.rope_theta", -1,
        "'text_config.rope_theta' is -1.0; a number above 0 is expected"
      ),
      (
        "text_config.rope_scaling", ["type": "yarn", "factor": 2],
        """
        'text_config.rope_scaling.type' is 'yarn', which is not supported (default, linear, llama3 \
        are)
        """
      ),
      (
        "text_config.rope_scaling", ["rope_type": "linear"],
        "'text_config.rope_scaling.factor' is missing"
      ),
      (
        "text_config.rope_scaling",
        [
          "rope_type": "llama3", "factor": 2, "low_freq_factor": 4, "high_freq_factor": 4,
        ], "'text_config.rope_scaling.high_freq_factor' is 4.0, not above low_freq_factor 4.0"
      ),
      (
        "text_config.rope_parameters", ["full_attention": ["rope_theta": 1]],
        "'text_config.rope_parameters' differs between layers, which is not supported"
      ),
      (
        "text_config.partial_rotary_factor", 0.5,
        "'text_config.partial_rotary_factor' is 0.5; only whole heads are supported"
      ),
      (
        "vision_config.model_type", "dinov2",
        """
        'vision_config.model_type' is 'dinov2', which is not supported (clip_vision_model, \
        siglip_vision_model are)
        """
      ),
      (
        "vision_config.model_type", "siglip_vision_model",
        """
        'vision_feature_select_strategy' is 'default', but a siglip tower has no class row to drop
        """
      ),
      (
        "vision_config.hidden_size", 5,
        """
        'vision_config.hidden_size' is 5; a multiple of the 2 heads with at most 1024 each is \
        expected
        """
      ),
      ("vision_config.num_channels", 1, "'vision_config.num_channels' is 1; only 3 are supported"),
      ("vision_config.patch_size", 0, "'vision_config.patch_size' is 0; 1...16384 is expected"),
      (
        "vision_config.patch_size", 8,
        "'vision_config.patch_size' is 8, larger than the image of 7 pixels"
      ),
      (
        "vision_config.image_size", [7, 14],
        "'vision_config.image_size' is not square, which is not supported"
      ),
      (
        "vision_config.image_size", 16384,
        "leads to 29822522 rows per image; at most 1048576 are supported"
      ),
      (
        "vision_feature_layer", -4,
        """
        'vision_config.num_hidden_layers' is 2, so there is no vision feature layer -4
        """
      ),
      (
        "vision_feature_layer", 3,
        """
        'vision_config.num_hidden_layers' is 2, so there is no vision feature layer 3
        """
      ),
      ("vision_feature_layer", [], "'vision_feature_layer' has 0 layers; 1...64 are expected"),
      (
        "vision_feature_layer", "last",
        "'vision_feature_layer' is a string; an integer is expected"
      ),
      (
        "vision_feature_select_strategy", "cls",
        """
        'vision_feature_select_strategy' is 'cls', which is not supported (default, full are)
        """
      ),
      ("image_token_index", 13, "'image_token_index' is 13; 0...12 is expected"),
      ("image_token_index", .null, "'image_token_index' is missing"),
      ("image_token_id", 9, "'image_token_id' is 9, but 'image_token_index' is 10"),
    ] as [(String, JSONValue, String)])
  func refuses(_ path: String, _ value: JSONValue, _ problem: String) {
    #expect(throws: InputError(folder.path("tiny/config.json"), problem)) {
      try read(path, value)
    }
  }

  /// Whatever stands in a field, reading ends in a model whose sizes can be counted or in an error.
  @Test(arguments: [
    (
      "",
      [
        "model_type", "architectures", "image_token_index", "image_token_id", "text_config",
        "vision_config", "vision_feature_layer", "vision_feature_select_strategy", "eos_token_id",
        "projector_hidden_act", "quantization_config", "mm_vision_tower", "_name_or_path",
        "image_grid_pinpoints", "vision_aspect_ratio",
      ]
    ),
    (
      "text_config.",
      [
        "model_type", "hidden_size", "intermediate_size", "num_hidden_layers",
        "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size",
        "max_position_embeddings", "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters",
      ]
    ),
    (
      "text_config.rope_scaling.",
      ["rope_type", "factor", "low_freq_factor", "original_max_position_embeddings"]
    ),
    (
      "vision_config.",
      [
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "image_size", "patch_size", "layer_norm_eps",
      ]
    ),
  ])
  func survivesAnyValueInAnyField(place: String, keys: [String]) throws {
    let path = try TinyCheckpoint().write(to: folder)
    let values: [JSONValue] = [
      .null, true, -1, 0, 1, 4096, .integer(.max), .integer(.min), 1e300, 1e-300, "llama3", [],
      [.integer(.min)], [:], ["type": "llama3"],
    ]
    for key in keys {
      for value in values {
        let config = TinyCheckpoint().config.setting(place + key, value)
        try folder.write(config.text, to: "tiny/config.json")
        guard var model = try? HuggingFaceConfiguration(folder: path).model else { continue }
        // All layers are alike.
        model.text.layerCount = 1
        let isCountable = model.tensorGroups.joined().allSatisfy { $0.shape.elementCount != nil }
        #expect(isCountable, "\(place + key): \(value)")
      }
    }
  }

  @Test func refusesFilesThatAreNoConfiguration() throws {
    let path = folder.path("tiny/config.json")
    for (text, problem) in [
      ("[]", "is an array; an object is expected"),
      (
        "{\"a\":1,\"a\":2}",
        """
        not valid JSON at byte 13: an object has two members of the same key
        """
      ),
      ("", "not valid JSON at byte 0: the document ends too early"),
    ] {
      try folder.write(text, to: "tiny/config.json")
      #expect(throws: InputError(path, problem)) {
        try HuggingFaceConfiguration(folder: folder.path("tiny"))
      }
    }
    #expect(
      throws: InputError(folder.path, "has no config.json, which describes the model")
    ) { try HuggingFaceConfiguration(folder: folder.path) }
  }
}

/// The flat configuration of the original LLaVA code and the tower beside it.
@Suite struct OriginalConfigurationTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let config: JSONValue = [
    "model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"], "hidden_size": 8,
    "intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 12,
    "mm_hidden_size": 4, "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch", "mm_vision_tower": "org/clip", "image_aspect_ratio": "pad",
  ]
  private static let tower: JSONValue = [
    "model_type": "clip_vision_model", "hidden_size": 4, "intermediate_size": 5,
    "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 7, "patch_size": 3,
  ]

  private func read(
    _ config: JSONValue = config, tower: JSONValue = tower
  ) throws -> HuggingFaceConfiguration {
    try folder.write(config.text, to: "model/config.json")
    try folder.write(tower.text, to: "tower/config.json")
    try folder.write("{\"size\":7,\"crop_size\":7}", to: "tower/preprocessor_config.json")
    return try HuggingFaceConfiguration(
      folder: folder.path("model"), visionTower: folder.path("tower"))
  }

  @Test func readsBothFolders() throws {
    let configuration = try read()
    let model = configuration.model
    #expect(model.text.layerCount == 2)
    #expect(model.vision?.featureLayers == [1])
    #expect(model.projector == ProjectorConfiguration(activation: .gelu, hasBias: true))
    #expect(model.imageTokenID == 12)
    #expect(model.endOfTextIDs == [2])
    #expect(
      configuration.imageSteps?.resize == .padSquare(size: 7, color: [122, 116, 104]))

    let whole: JSONValue = ["model_type": "clip", "vision_config": Self.tower]
    #expect(try read(tower: whole).model.vision == model.vision)

    var changed = Self.config.setting("architectures", nil)
    #expect(try read(changed).model == model)
    changed = changed.setting("model_type", "llava_llama").setting("mm_vision_tower", nil)
    #expect(try read(changed).model == model)
  }

  @Test func readsItsOwnWordsForFeaturesAndPadding() throws {
    let full = try read(Self.config.setting("mm_vision_select_feature", "cls_patch"))
    #expect(full.model.vision?.keepsClassRow == true)
    let last = try read(Self.config.setting("mm_vision_select_layer", -1))
    #expect(last.model.vision?.featureLayers == [2])
    let cropped = try read(Self.config.setting("image_aspect_ratio", nil))
    #expect(cropped.imageSteps?.resize == .shortestEdge(size: 7))
  }

  @Test(
    arguments: [
      (
        "mm_projector_type", "linear",
        """
        'mm_projector_type' is 'linear', which is not supported (mlp2x_gelu are)
        """
      ),
      (
        "mm_projector_type", .null,
        """
        'mm_projector_type' is missing: only mlp2x_gelu is supported, which LLaVA-1.5 has
        """
      ),
      (
        "mm_patch_merge_type", "spatial_unpad",
        """
        'mm_patch_merge_type' is 'spatial_unpad', which is not supported (flat are)
        """
      ),
      (
        "image_aspect_ratio", "anyres",
        """
        'image_aspect_ratio' is 'anyres', which is not supported (square, pad are)
        """
      ),
      ("mm_use_im_start_end", true, "'mm_use_im_start_end' is true, which is not supported"),
      (
        "mm_vision_select_feature", "cls",
        """
        'mm_vision_select_feature' is 'cls', which is not supported (patch, cls_patch are)
        """
      ),
      ("mm_hidden_size", 8, "'mm_hidden_size' is 8; the vision tower gives 4"),
    ] as [(String, JSONValue, String)])
  func refuses(_ key: String, _ value: JSONValue, _ problem: String) {
    #expect(throws: InputError(folder.path("model/config.json"), problem)) {
      try read(Self.config.setting(key, value))
    }
  }

  @Test func namesATowerWithoutConfiguration() throws {
    _ = try read()
    let empty = try folder.makeFolder("empty")
    #expect(
      throws: InputError(empty, "has no config.json, which describes the vision tower")
    ) { try HuggingFaceConfiguration(folder: folder.path("model"), visionTower: empty) }
  }
}
