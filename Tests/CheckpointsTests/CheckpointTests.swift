import Architecture
import Checkpoints
import TensorCore
import TestSupport
import Testing

@Suite struct CheckpointTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func readsATinyModelWhole() throws {
    let tiny = TinyCheckpoint()
    let path = try tiny.write(to: folder)
    let checkpoint = try Checkpoint(testing: path)
    let configuration = checkpoint.configuration
    #expect(configuration.family == "llava")
    #expect(configuration.name == "tiny")
    #expect(configuration.imageTokenID == 10)
    #expect(configuration.endOfTextIDs == [2])
    #expect(configuration.vision?.layerCount == 1)
    #expect(checkpoint.ignoredTensors.isEmpty)
    #expect(
      Set(checkpoint.tensors.keys) == Set(configuration.tensorGroups.joined().map(\.key)))
    let names = tiny.shapes.keys.sorted()
    for specification in configuration.tensorGroups.joined() {
      let tensor = try #require(checkpoint.tensors[specification.key])
      #expect(tensor.shape == specification.shape)
      let place = try #require(names.firstIndex(of: tensor.name))
      #expect(tensor.values().allSatisfy { $0 == Float(place) })
    }
    #expect(checkpoint.tensors[TensorKey(.patchEmbedding)]?.shape == [4, 27])
    #expect(
      checkpoint.inputs.map(\.name)
        == ["config.json", "preprocessor_config.json", "model.safetensors"])
    #expect(checkpoint.inputs.map(\.path).allSatisfy { $0.hasPrefix(path + "/") })
    #expect(checkpoint.inputs.last?.byteCount == tiny.weights.bytes.count)
    #expect(checkpoint.template.name == "plain")
  }

  @Test func acceptsTheWeightFileItself() throws {
    let path = try TinyCheckpoint().write(to: folder)
    let checkpoint = try Checkpoint(testing: path + "/model.safetensors")
    #expect(checkpoint.configuration.text.layerCount == 2)
  }

  @Test func namesAMissingTensor() throws {
    var tiny = TinyCheckpoint()
    tiny.shapes["language_model.model.layers.1.mlp.up_proj.weight"] = nil
    let path = try tiny.write(to: folder)
    let problem = """
      tensor text.layers.1.up [6, 8] is missing \
      (a name that ends in 'layers.1.mlp.up_proj.weight')
      """
    #expect(throws: InputError(path, problem)) { try Checkpoint(testing: path) }
  }

  @Test func namesAMisshapenTensor() throws {
    var tiny = TinyCheckpoint()
    let name = "vision_tower.vision_model.embeddings.patch_embedding.weight"
    tiny.shapes[name] = [4, 3, 9]
    let path = try tiny.write(to: folder)
    let problem = "'\(name)' is [4, 3, 9]; the configuration needs [4, 3, 3, 3]"
    #expect(throws: InputError(path + "/model.safetensors", problem)) {
      try Checkpoint(testing: path)
    }
  }

  @Test func refusesIntegerWeights() throws {
    var tiny = TinyCheckpoint()
    let name = "language_model.model.norm.weight"
    tiny.shapes[name] = nil
    var weights = tiny.weights
    weights.add(name, shape: [8], integers: [1, 1, 1, 1, 1, 1, 1, 1])
    let path = try tiny.write(to: folder, weights: weights)
    let problem = "'\(name)' is I32; F32, F16 or BF16 is needed"
    #expect(throws: InputError(path + "/model.safetensors", problem)) {
      try Checkpoint(testing: path)
    }
  }

  @Test func refusesTwoTensorsOfOneMeaning() throws {
    var tiny = TinyCheckpoint()
    tiny.shapes["lm_head.weight"] = [12, 8]
    let path = try tiny.write(to: folder)
    let problem = "tensors 'language_model.lm_head.weight' and 'lm_head.weight' are both text.head"
    #expect(throws: InputError(path, problem)) { try Checkpoint(testing: path) }
  }

  @Test func collectsTensorsWithoutAPlace() throws {
    var tiny = TinyCheckpoint()
    tiny.shapes["model.image_newline"] = [8]
    tiny.shapes["language_model.model.layers.0.self_attn.q_proj.bias"] = [8]
    tiny.shapes["language_model.model.layers.2.mlp.up_proj.weight"] = [6, 8]
    tiny.shapes["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = [2]
    let path = try tiny.write(to: folder)
    let extra = [
      "language_model.model.layers.0.self_attn.q_proj.bias",
      "language_model.model.layers.2.mlp.up_proj.weight", "model.image_newline",
    ]
    #expect(try Checkpoint(testing: path).ignoredTensors == extra)
    let problem = "has 3 tensors that the model has no place for, the first '\(extra[0])'"
    #expect(throws: InputError(path, problem)) { try Checkpoint(testing: path, isStrict: true) }
  }

  @Test func takesTheEmbeddingForATiedHead() throws {
    var tiny = TinyCheckpoint()
    tiny.config = tiny.config.setting("tie_word_embeddings", true)
    let head = "language_model.lm_head.weight"
    let embedding = "language_model.model.embed_tokens.weight"

    tiny.shapes[head] = nil
    let path = try tiny.write(to: folder)
    let checkpoint = try Checkpoint(testing: path)
    #expect(checkpoint.configuration.text.isHeadTied)
    #expect(checkpoint.tensors[TensorKey(.head)] == nil)

    // Stored once more: the same matrix is no second one.
    var same = tiny.weights
    let place = tiny.shapes.keys.sorted().firstIndex(of: embedding) ?? 0
    same.add(head, shape: [12, 8], floats: Array(repeating: Float(place), count: 96))
    try tiny.write(to: folder, weights: same)
    #expect(try Checkpoint(testing: path).configuration.text.isHeadTied)
    #expect(try Checkpoint(testing: path).ignoredTensors.isEmpty)

    // A head of its own wins over what the configuration says.
    var other = tiny.weights
    other.add(head, shape: [12, 8], floats: randomFloats(96, seed: 3))
    try tiny.write(to: folder, weights: other)
    let untied = try Checkpoint(testing: path)
    #expect(!untied.configuration.text.isHeadTied)
    #expect(untied.tensors[TensorKey(.head)]?.values() == randomFloats(96, seed: 3))

    // A head alone serves as the embedding.
    tiny.shapes[embedding] = nil
    tiny.shapes[head] = [12, 8]
    try tiny.write(to: folder)
    #expect(try Checkpoint(testing: path).tensors[TensorKey(.embedding)]?.name == head)
  }

  @Test func readsADecoderAlone() throws {
    var tiny = TinyCheckpoint()
    tiny.config = try #require(tiny.config["text_config"])
    tiny.processor = nil
    var shapes: [String: Shape] = [:]
    for (name, shape) in tiny.shapes where name.hasPrefix("language_model.") {
      shapes[String(name.dropFirst("language_model.".count))] = shape
    }
    tiny.shapes = shapes
    let path = try tiny.write(to: folder)
    let checkpoint = try Checkpoint(testing: path, imageID: nil)
    #expect(checkpoint.configuration.family == "llama")
    #expect(checkpoint.configuration.vision == nil)
    #expect(checkpoint.configuration.imageTokenID == nil)
    #expect(checkpoint.imageSteps == nil)
    #expect(checkpoint.ignoredTensors.isEmpty)
  }

  @Test func checksThePlaceholderOfImages() throws {
    let tiny = TinyCheckpoint()
    let path = try tiny.write(to: folder)
    #expect(
      throws: InputError(
        path, "the tokenizer has '<image>' at id 9; the configuration says 10")
    ) { try Checkpoint(testing: path, imageID: 9) }
    #expect(
      throws: InputError(
        path,
        """
        the tokenizer has no '<image>', and its 11 pieces do not end before id 10, where the \
        configuration has it
        """)
    ) { try Checkpoint(testing: path, imageID: nil) }
    let added = try Checkpoint(testing: path, pieces: 10, imageID: nil)
    #expect(added.tokenizer.pieces.count == 11)
    #expect(added.tokenizer.pieces[10].bytes == Array("<image>".utf8))
    #expect(added.tokenizer.pieces[10].kind == .control)
    #expect(
      throws: InputError(path, "the tokenizer has 13 pieces, but the model only 12 embeddings")
    ) { try Checkpoint(testing: path, pieces: 13) }
  }

  @Test func refusesATowerThatIsNotAskedFor() throws {
    let path = try TinyCheckpoint().write(to: folder)
    let problem = "a separate vision tower is only for checkpoints of the original LLaVA code"
    #expect(throws: InputError("tower", problem)) {
      try Checkpoint(testing: path, visionTower: "tower")
    }
  }
}
