import Architecture
import Checkpoints
import TensorCore
import TestSupport

/// A checkpoint of a few hundred numbers in spelling A, made of values that a test may change
/// before it is written.
struct TinyCheckpoint {
  var config: JSONValue = [
    "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava",
    "image_token_index": 10,
    "text_config": [
      "model_type": "llama", "hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 2,
      "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 12,
      "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    ],
    "vision_config": [
      "model_type": "clip_vision_model", "hidden_size": 4, "intermediate_size": 5,
      "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 7, "patch_size": 3,
    ],
  ]
  var processor: JSONValue? = [
    "image_processor_type": "CLIPImageProcessor", "size": ["shortest_edge": 7],
    "crop_size": ["height": 7, "width": 7],
  ]
  var generation: JSONValue?
  /// By name; every value of a tensor is its place among all tensors, so that none are alike.
  var shapes: [String: Shape]

  init() {
    var shapes: [String: Shape] = [
      "language_model.model.embed_tokens.weight": [12, 8],
      "language_model.model.norm.weight": [8],
      "language_model.lm_head.weight": [12, 8],
      "multi_modal_projector.linear_1.weight": [8, 4],
      "multi_modal_projector.linear_1.bias": [8],
      "multi_modal_projector.linear_2.weight": [8, 8],
      "multi_modal_projector.linear_2.bias": [8],
    ]
    for layer in 0..<2 {
      let rows: [(String, Shape)] = [
        ("input_layernorm", [8]), ("post_attention_layernorm", [8]),
        ("self_attn.q_proj", [8, 8]), ("self_attn.k_proj", [4, 8]), ("self_attn.v_proj", [4, 8]),
        ("self_attn.o_proj", [8, 8]), ("mlp.gate_proj", [6, 8]), ("mlp.up_proj", [6, 8]),
        ("mlp.down_proj", [8, 6]),
      ]
      for (name, shape) in rows {
        shapes["language_model.model.layers.\(layer).\(name).weight"] = shape
      }
    }
    let tower = "vision_tower.vision_model."
    shapes[tower + "embeddings.class_embedding"] = [4]
    shapes[tower + "embeddings.patch_embedding.weight"] = [4, 3, 3, 3]
    shapes[tower + "embeddings.position_embedding.weight"] = [5, 4]
    for name in ["pre_layrnorm", "post_layernorm"] {
      shapes[tower + name + ".weight"] = [4]
      shapes[tower + name + ".bias"] = [4]
    }
    for layer in 0..<2 {
      let rows: [(String, Shape)] = [
        ("layer_norm1", [4]), ("layer_norm2", [4]), ("self_attn.q_proj", [4, 4]),
        ("self_attn.k_proj", [4, 4]), ("self_attn.v_proj", [4, 4]), ("self_attn.out_proj", [4, 4]),
        ("mlp.fc1", [5, 4]), ("mlp.fc2", [4, 5]),
      ]
      for (name, shape) in rows {
        shapes[tower + "encoder.layers.\(layer).\(name).weight"] = shape
        shapes[tower + "encoder.layers.\(layer).\(name).bias"] = [shape.dimensions[0]]
      }
    }
    self.shapes = shapes
  }

  /// The weights as one file's content.
  var weights: SafetensorsWriter {
    var writer = SafetensorsWriter()
    for (place, (name, shape)) in shapes.sorted(by: { $0.key < $1.key }).enumerated() {
      let count = shape.elementCount ?? 0
      writer.add(name, shape: shape, floats: Array(repeating: Float(place), count: count))
    }
    return writer
  }

  /// Writes the folder and returns its path, which ends in "/tiny".
  @discardableResult
  func write(to folder: TemporaryFolder, weights: SafetensorsWriter? = nil) throws -> String {
    let path = try folder.makeFolder("tiny")
    try folder.write(config.text, to: "tiny/config.json")
    if let processor { try folder.write(processor.text, to: "tiny/preprocessor_config.json") }
    if let generation { try folder.write(generation.text, to: "tiny/generation_config.json") }
    try folder.write((weights ?? self.weights).bytes, to: "tiny/model.safetensors")
    return path
  }
}

extension JSONValue {
  /// This object with the member at a path such as "text_config.hidden_size" set, or removed.
  func setting(_ path: String, _ value: JSONValue?) -> JSONValue {
    var object = objectValue ?? JSONObject()
    if let dot = path.firstIndex(of: ".") {
      let key = String(path[..<dot])
      let rest = String(path[path.index(after: dot)...])
      object[key] = (object[key] ?? [:]).setting(rest, value)
    } else {
      object[path] = value
    }
    return .object(object)
  }
}

extension Checkpoint {
  /// Opens a checkpoint with a tokenizer of `pieces` pieces and the placeholder `<image>` at
  /// `imageID`, if any.
  init(
    testing path: String, visionTower: String? = nil, isStrict: Bool = false, pieces: Int = 11,
    imageID: Int? = 10
  ) throws(InputError) {
    try self.init(at: path, visionTower: visionTower, isStrict: isStrict) {
      (_, name) throws(InputError) in
      var vocabulary = (0..<pieces).map {
        TokenizerModel.Piece(bytes: Array("piece \($0)".utf8), kind: .normal)
      }
      if let imageID { vocabulary[imageID].bytes = Array("<image>".utf8) }
      let tokenizer = TokenizerModel(
        kind: .sentencePieceScores, flags: [], pieces: vocabulary, eosID: 3)
      let template = PromptTemplate(
        name: name ?? "plain", opening: "", userStart: "", image: "<image>", userEnd: "",
        assistantStart: "", assistantEnd: "")
      return (tokenizer, template)
    }
  }
}
