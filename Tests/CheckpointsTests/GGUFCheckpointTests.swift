import Architecture
import Checkpoints
import Prompting
import TensorCore
import TestSupport
import Testing

/// GGUF models beside the safetensors checkpoints that they were written from.
@Suite struct GGUFCheckpointTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Texts that any tokenizer has trouble with.
  private static func texts() throws -> [String] {
    let path = fixturePath("tokenizers/demo.cases.json")
    let json = try JSONValue(
      parsing: try fileBytes(at: path, limit: 1 << 22), file: path, limits: .configuration)
    return (json["cases"]?.arrayValue ?? []).compactMap { $0["text"]?.stringValue }
  }

  /// Expects every tensor of `found` to be that of `expected`, bit by bit.
  private func expectSameTensors(_ found: Checkpoint, _ expected: Checkpoint) throws {
    for (key, tensor) in found.tensors {
      let other = try #require(expected.tensors[key], "\(key)")
      let isEqual = tensor.values().map(\.bitPattern) == other.values().map(\.bitPattern)
      #expect(tensor.shape == other.shape && isEqual, "\(key)")
    }
  }

  private func expectSameTokenizer(_ found: Checkpoint, _ expected: Checkpoint) throws {
    let ours = try Tokenizer(found.tokenizer)
    let theirs = try Tokenizer(expected.tokenizer)
    let texts = try Self.texts()
    #expect(texts.count > 200)
    for text in texts {
      let ids = theirs.encode(text)
      #expect(ours.encode(text) == ids, "\(printable(text))")
      #expect(
        ExactString(ours.decode(ids)) == ExactString(theirs.decode(ids)), "\(printable(text))")
    }
  }

  @Test(arguments: ["gqa", "one-layer"]) func readsLLaVA(_ name: String) throws {
    let expected = try Checkpoint(at: fixturePath("models/\(name)"))
    let found = try Checkpoint(at: fixturePath("gguf/\(name)"), isStrict: true)
    var configuration = found.configuration
    #expect(configuration.name == name)
    configuration.name = expected.configuration.name
    #expect(configuration == expected.configuration)
    #expect(Set(found.tensors.keys) == Set(expected.tensors.keys))
    #expect(found.ignoredTensors.isEmpty)
    try expectSameTensors(found, expected)
    try expectSameTokenizer(found, expected)
    #expect(found.template == expected.template)

    let steps = try #require(found.imageSteps)
    let vision = try #require(found.configuration.vision)
    #expect(steps.resize == .padSquare(size: vision.imageSize, color: [122, 116, 104]))
    #expect(steps.cropSize == vision.imageSize)
    // The file has them as f32.
    #expect(steps.mean.map(Float.init) == expected.imageSteps?.mean.map(Float.init))
    #expect(
      steps.standardDeviation.map(Float.init)
        == expected.imageSteps?.standardDeviation.map(Float.init))
    #expect(found.inputs.map(\.name).last?.contains("mmproj") == true)
  }

  @Test(arguments: ["rope-llama3", "attention-bias", "byte-level"])
  func readsTextModels(_ name: String) throws {
    let expected = try Checkpoint(at: fixturePath("models/\(name)"))
    let found = try Checkpoint(at: fixturePath("gguf/\(name)/model.gguf"), isStrict: true)
    var text = found.configuration.text
    let rope = expected.configuration.text.rope
    // A rule found by its divisors may have other numbers, but gives the same frequencies.
    let frequencies = [text.rope, rope].map { $0.frequencies(dimension: text.headDimension) }
    expectClose(frequencies[0], frequencies[1], relative: 1e-6)
    text.rope = rope
    #expect(text == expected.configuration.text)
    #expect(found.configuration.family == "llama")
    #expect(found.configuration.vision == nil && found.configuration.imageTokenID == nil)
    #expect(found.imageSteps == nil)
    let id = try #require(expected.configuration.endOfTextIDs.first)
    #expect(found.configuration.endOfTextIDs.first == id)
    #expect(found.tensors.count == found.configuration.tensorGroups.joined().count)
    try expectSameTensors(found, expected)
    try expectSameTokenizer(found, expected)
    #expect(found.template == expected.template)
  }

  @Test func readsShardsFromAnyOfThem() throws {
    let whole = try Checkpoint(at: fixturePath("gguf/one-layer"))
    for index in 1...3 {
      let path = fixturePath("gguf/one-layer/model-0000\(index)-of-00003.gguf")
      let found = try Checkpoint(at: path)
      #expect(found.configuration == whole.configuration)
      #expect(found.inputs.count == 4)
    }
  }

  @Test func choosesTheProjector() throws {
    let path = fixturePath("gguf/gqa/gqa.gguf")
    let text = try Checkpoint(at: path, projector: "none")
    #expect(text.configuration.vision == nil)
    let given = try Checkpoint(at: path, projector: fixturePath("gguf/gqa/mmproj-gqa.gguf"))
    #expect(given.configuration == (try Checkpoint(at: path)).configuration)
    // One of another model: its rows have another width.
    let other = fixturePath("gguf/one-layer/mmproj-old.gguf")
    #expect(
      throws: InputError(other, "'mm.0.weight' is [16, 8]; the configuration needs [32, 8]")
    ) { try Checkpoint(at: path, projector: other) }
    #expect(throws: InputError.self) {
      try Checkpoint(at: fixturePath("models/gqa"), projector: other)
    }
    #expect(throws: InputError.self) { try Checkpoint(at: path, projector: path) }
  }

  @Test func readsSeveralFeatureLayers() throws {
    let expected = try Checkpoint(at: fixturePath("models/mqa"))
    try folder.link("model.gguf", to: fixturePath("gguf/gqa/gqa.gguf"))
    // The decoder of another model has the same width.
    let found = try Checkpoint(
      at: folder.path("model.gguf"), projector: fixturePath("gguf/mqa-vision/mmproj-mqa.gguf"))
    #expect(found.configuration.vision == expected.configuration.vision)
    for (key, tensor) in found.tensors where key.role.rawValue >= 256 {
      let other = try #require(expected.tensors[key])
      #expect(tensor.values() == other.values(), "\(key)")
    }
  }

  // Folders

  @Test func findsOneModelInAFolder() throws {
    try folder.write(TinyGGUF.model.bytes, to: "one/model.Q4_K_M.gguf")
    #expect(try Checkpoint(at: folder.path("one")).configuration.text.layerCount == 1)
    try folder.write(TinyGGUF.model.bytes, to: "one/model.Q8_0.gguf")
    #expect(
      throws: InputError(
        folder.path("one"), "has 2 GGUF models; give one of them, such as 'model.Q4_K_M.gguf'")
    ) { try Checkpoint(at: folder.path("one")) }
    try folder.write([0], to: "two/mmproj-f16.gguf")
    #expect(
      throws: InputError(
        folder.path("two"), "has no GGUF language model, only 'mmproj-f16.gguf'")
    ) { try Checkpoint(at: folder.path("two")) }
    try folder.write(TinyGGUF.model.bytes, to: "two/model.gguf")
    try folder.write([0], to: "two/mmproj-q8.gguf")
    #expect(throws: InputError.self) { try Checkpoint(at: folder.path("two")) }
  }

  @Test func refusesAProjectorAlone() throws {
    let path = fixturePath("gguf/gqa/mmproj-gqa.gguf")
    #expect(
      throws: InputError(
        path,
        "is a vision tower with its projector (mmproj): give the language model, and this file with "
          + "--mmproj")
    ) { try Checkpoint(at: path) }
  }

  @Test func refusesShardsThatDoNotFit() throws {
    func shard(_ number: UInt32, of count: UInt32, named name: String) throws -> String {
      var tiny = number == 0 ? TinyGGUF.model : TinyGGUF()
      if number > 0 { tiny.add("t\(number)", [1]) }
      tiny.set("split.no", number)
      tiny.set("split.count", count)
      tiny.set("split.tensors.count", UInt32(12))
      return try folder.write(tiny.bytes, to: name)
    }
    let path = try shard(0, of: 2, named: "m-00001-of-00002.gguf")
    #expect(
      throws: InputError(
        folder.path("m-00002-of-00002.gguf"),
        "is missing, but m-00001-of-00002.gguf is one of its siblings")
    ) { try Checkpoint(at: path) }
    for (number, count): (UInt32, UInt32) in [(0, 2), (1, 3)] {
      _ = try shard(number, of: count, named: "m-00002-of-00002.gguf")
      #expect(throws: InputError.self) { try Checkpoint(at: path) }
    }
    _ = try shard(1, of: 2, named: "m-00002-of-00002.gguf")
    #expect(try Checkpoint(at: path).ignoredTensors == ["t1"])
    let alone = try shard(0, of: 2, named: "alone.gguf")
    #expect(throws: InputError.self) { try Checkpoint(at: alone) }
  }

  // Configurations

  /// The error of a tiny model that `change` has spoilt.
  private func problem(_ change: (inout TinyGGUF) -> Void) throws -> String? {
    try TinyGGUF.problem(in: folder, change)
  }

  /// Which rows of the tiny model's file the rows of its queries are: row r begins with 4 + r / 8.
  private func rowOrder(_ checkpoint: Checkpoint) throws -> [Int] {
    let values = try #require(checkpoint.tensors[TensorKey(.query, layer: 0)]).values()
    return stride(from: 0, to: values.count, by: 8).map { Int((values[$0] - 4) * 8) }
  }

  @Test func readsTheTinyModel() throws {
    let path = try folder.write(TinyGGUF.model.bytes, to: "m.gguf")
    let found = try Checkpoint(at: path, isStrict: true)
    let text = found.configuration.text
    #expect(text.isHeadTied && text.keyValueHeadCount == 1 && text.headDimension == 4)
    #expect(found.tokenizer.pieces.map(\.kind) == [.unknown, .control, .control, .byte, .normal])
    #expect(found.tokenizer.flags == [.addsBOS, .byteFallback, .prefixesSpace])
    #expect(found.configuration.endOfTextIDs == [2])
    #expect(found.template.name == "llava_v1")
    // Row 2i + j of a head in the file is row 2j + i.
    #expect(try rowOrder(found) == [0, 2, 1, 3, 4, 6, 5, 7])
  }

  @Test func qwen2IsNotInterleavedAndHasBiases() throws {
    var tiny = TinyGGUF.model
    for (place, key) in tiny.keys.enumerated() where key.name.hasPrefix("llama.") {
      tiny.keys[place].name = "qwen2." + key.name.dropFirst("llama.".count)
    }
    tiny.set("general.architecture", "qwen2")
    tiny.add("blk.0.attn_q.bias", [8])
    tiny.add("blk.0.attn_k.bias", [4])
    tiny.add("blk.0.attn_v.bias", [4])
    let found = try Checkpoint(at: try folder.write(tiny.bytes, to: "m.gguf"), isStrict: true)
    #expect(found.configuration.text.hasQueryKeyValueBias)
    #expect(try rowOrder(found) == Array(0..<8))
  }

  @Test func readsScaling() throws {
    func rope(_ change: (inout TinyGGUF) -> Void) throws -> RoPEConfiguration {
      var tiny = TinyGGUF.model
      change(&tiny)
      return try Checkpoint(at: try folder.write(tiny.bytes, to: "m.gguf")).configuration.text.rope
    }
    #expect(try rope { $0.remove("llama.rope.freq_base") } == RoPEConfiguration(theta: 10000))
    let linear = try rope {
      $0.set("llama.rope.scaling.type", "linear")
      $0.set("llama.rope.scaling.factor", Float(4))
    }
    #expect(linear.scaling == .linear(factor: 4))
    #expect(try rope { $0.set("llama.rope.scale_linear", Float(2)) }.scaling == .linear(factor: 2))
    #expect(
      try problem { $0.set("llama.rope.scaling.type", "yarn") }
        == "'llama.rope.scaling.type' is 'yarn', which is not supported (none, linear are)")
    #expect(
      try problem {
        $0.tensors.append(
          TinyGGUF.Tensor(
            name: "rope_freqs.weight", dimensions: [2],
            data: TinyGGUF.number(Float(1.5).bitPattern) + TinyGGUF.number(Float(7).bitPattern)))
      } == "'rope_freqs.weight' is not the scaling of Llama 3.1, the only one supported")
  }

  @Test func refusesConfigurations() throws {
    #expect(
      try problem { $0.set("general.architecture", "mamba") }
        == "'general.architecture' is 'mamba', which is not supported (llama and qwen2 are)")
    #expect(
      try problem { $0.remove("general.architecture") } == "'general.architecture' is missing")
    #expect(
      try problem { $0.remove("llama.block_count") } == "'llama.block_count' is missing")
    #expect(
      try problem { $0.set("llama.block_count", UInt32(0)) }
        == "'llama.block_count' is 0; 1...1024 is expected")
    #expect(
      try problem { $0.set("llama.block_count", UInt32(2)) }?.contains(
        "text.layers.1.attentionNorm")
        == true)
    #expect(
      try problem { $0.set("llama.attention.head_count", UInt32(3)) }?.contains("3 heads") == true)
    #expect(
      try problem { $0.set("llama.attention.head_count_kv", UInt32(0)) }?.contains("is 0") == true)
    #expect(
      try problem { $0.set("llama.expert_count", UInt32(8)) }?.contains("experts") == true)
    #expect(
      try problem { $0.set("llama.rope.dimension_count", UInt32(2)) }?.contains("is 2") == true)
    #expect(
      try problem { $0.set("llama.attention.layer_norm_rms_epsilon", Float.nan) }?.contains(
        "is nan")
        == true)
    #expect(
      try problem { $0.set("llama.embedding_length", Float(8)) }
        == "'llama.embedding_length' is a floating-point number; an integer is expected")
    #expect(
      try problem { $0.tensors.removeFirst() } == "has no tensor 'token_embd.weight'")
    #expect(
      try problem { $0.tensors.removeLast() }?.contains("blk.0.ffn_down.weight") == true)
  }

  @Test func namesTypesThatItCannotRead() throws {
    let problem = try problem { tiny in
      tiny.set("llama.embedding_length", UInt32(256))
      tiny.set("llama.attention.head_count", UInt32(2))
      tiny.tensors[0] = TinyGGUF.Tensor(
        name: "token_embd.weight", dimensions: [256, 5], type: 16,
        data: Array(repeating: 0, count: 5 * 66))
    }
    #expect(
      problem
        == "'token_embd.weight' is IQ2_XXS; one of F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, "
        + "Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, F64, BF16, MXFP4 is needed")
  }

  // Damage

  /// Every byte of the metadata and of the tensor table changed in four ways: an error or a model.
  @Test func survivesDamagedBytes() throws {
    let bytes = TinyGGUF.model.bytes
    let end = bytes.count - TinyGGUF.model.tensors.reduce(0) { $0 + ($1.data.count + 31) / 32 * 32 }
    var refused = 0
    for place in 0..<end {
      for value in [~bytes[place], bytes[place] ^ 1, 0, 0xFF] where value != bytes[place] {
        let path = try folder.write(corrupting(bytes, at: place, with: [value]), to: "m.gguf")
        do throws(InputError) {
          _ = try Tokenizer(try Checkpoint(at: path).tokenizer)
        } catch {
          refused += 1
          #expect(!error.description.contains("\n"), "\(place)")
        }
      }
    }
    #expect(refused > end)
  }
}
