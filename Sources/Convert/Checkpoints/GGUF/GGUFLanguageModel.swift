import Architecture
import TensorCore

/// The decoder that a GGUF file describes by its metadata.
struct GGUFLanguageModel {
  private let shards: GGUFShards
  private let metadata: GGUFMetadata
  /// Begins the keys of the architecture: "llama.".
  private let prefix: String
  /// Whether the two halves of each head of queries and keys are interleaved.
  private let isInterleaved: Bool

  /// Architectures that are LLaMA layers, and whether their heads are interleaved.
  private static let architectures = [("llama", true), ("qwen2", false)]

  init(_ shards: GGUFShards) throws(InputError) {
    self.shards = shards
    metadata = shards.metadata
    let key = "general.architecture"
    guard let name = try metadata.string(key, atMost: 255) else {
      throw metadata.error(key, "is missing")
    }
    guard name != "clip" else {
      throw metadata.error(
        "is a vision tower with its projector (mmproj): give the language model, and this file with "
          + "--mmproj")
    }
    guard let (_, isInterleaved) = Self.architectures.first(where: { $0.0 == name }) else {
      let known = Self.architectures.map(\.0).joined(separator: " and ")
      throw metadata.error(
        key, "is '\(printable(name, limit: 60))', which is not supported (\(known) are)")
    }
    prefix = name + "."
    self.isInterleaved = isInterleaved
  }

  var name: String {
    get throws(InputError) {
      let given = try metadata.string("general.name") ?? ""
      return printable(given.isEmpty ? lastComponent(metadata.file) : given, limit: 60)
    }
  }

  func configuration() throws(InputError) -> TextConfiguration {
    func key(_ name: String) -> String { prefix + name }
    if let experts = try metadata.integer(key("expert_count"), in: 0...Int(Int32.max)),
      experts > 0
    {
      throw metadata.error(key("expert_count"), "is \(experts); experts are not supported")
    }
    let hiddenSize = try metadata.required(key("embedding_length"), in: 1...Limit.dimension)
    guard let headCount = try metadata.perLayer(key("attention.head_count"), in: 1...Limit.heads)
    else { throw metadata.error(key("attention.head_count"), "is missing") }
    let keyValueHeadCount =
      try metadata.perLayer(key("attention.head_count_kv"), in: 1...Limit.heads) ?? headCount
    guard headCount.isMultiple(of: keyValueHeadCount) else {
      throw metadata.error(
        key("attention.head_count_kv"),
        "is \(keyValueHeadCount), which does not divide \(headCount) heads")
    }
    let contextLength = try metadata.required(key("context_length"), in: 1...Limit.context)
    let window = try metadata.integer(key("attention.sliding_window"), in: 0...Limit.context) ?? 0
    guard
      let intermediateSize = try metadata.perLayer(
        key("feed_forward_length"), in: 1...Limit.dimension)
    else { throw metadata.error(key("feed_forward_length"), "is missing") }
    let headDimension = try headDimension(hiddenSize: hiddenSize, headCount: headCount)
    let embedding = try tensor("token_embd.weight")
    guard (1...Limit.vocabulary).contains(embedding.rowCount) else {
      throw InputError(
        embedding.region.name,
        "'token_embd.weight' is \(embedding.shape); at most \(Limit.vocabulary) rows are supported")
    }
    return TextConfiguration(
      layerCount: try metadata.required(key("block_count"), in: 1...Limit.layers),
      hiddenSize: hiddenSize, intermediateSize: intermediateSize, headCount: headCount,
      keyValueHeadCount: keyValueHeadCount, headDimension: headDimension,
      vocabularySize: embedding.rowCount,
      // Within a sliding window all rows see each other, so a model with one runs exactly there.
      contextLength: window > 0 ? min(window, contextLength) : contextLength,
      normEpsilon: try metadata.epsilon(key("attention.layer_norm_rms_epsilon")),
      rope: try rope(headDimension: headDimension),
      isHeadTied: shards.tensors["output.weight"] == nil,
      hasQueryKeyValueBias: shards.tensors["blk.0.attn_q.bias"] != nil,
      hasOutputBias: shards.tensors["blk.0.attn_output.bias"] != nil,
      hasMLPBias: shards.tensors["blk.0.ffn_gate.bias"] != nil)
  }

  private func tensor(_ name: String) throws(InputError) -> SourceTensor {
    guard let tensor = shards.tensors[name] else {
      throw metadata.error("has no tensor '\(name)'")
    }
    return tensor
  }

  private func headDimension(hiddenSize: Int, headCount: Int) throws(InputError) -> Int {
    let sizes = 2...Limit.headDimension
    let keyLength = prefix + "attention.key_length"
    let size: Int
    if let given = try metadata.integer(keyLength, in: sizes) {
      size = given
    } else {
      guard hiddenSize.isMultiple(of: headCount), sizes.contains(hiddenSize / headCount) else {
        throw metadata.error(
          prefix + "embedding_length",
          "is \(hiddenSize); the \(headCount) heads need a multiple with at most "
            + "\(Limit.headDimension) each")
      }
      size = hiddenSize / headCount
    }
    for key in ["attention.value_length", "rope.dimension_count"] {
      if let other = try metadata.integer(prefix + key, in: sizes), other != size {
        throw metadata.error(
          prefix + key, "is \(other); heads of \(size) with whole rotation are supported")
      }
    }
    guard size.isMultiple(of: 2) else {
      throw metadata.error(keyLength, "is \(size); rotary positions need an even number")
    }
    return size
  }

  // Rotary positions

  private func rope(headDimension: Int) throws(InputError) -> RoPEConfiguration {
    let theta = try metadata.positive(prefix + "rope.freq_base") ?? 10000
    let typeKey = prefix + "rope.scaling.type"
    // A file without a type means linear scaling, by one if it has no factor either.
    let type = try metadata.string(typeKey, atMost: 255) ?? "linear"
    guard ["none", "linear"].contains(type) else {
      throw metadata.error(
        typeKey, "is '\(printable(type, limit: 60))', which is not supported (none, linear are)")
    }
    var factor = try metadata.positive(prefix + "rope.scaling.factor")
    if factor == nil { factor = try metadata.positive(prefix + "rope.scale_linear") }
    var rope = RoPEConfiguration(theta: theta)
    if type == "linear", let factor, factor != 1 { rope.scaling = .linear(factor: factor) }
    guard let divisors = shards.tensors["rope_freqs.weight"] else { return rope }
    guard rope.scaling == .none else {
      throw metadata.error("has both '\(typeKey)' and the tensor 'rope_freqs.weight'")
    }
    rope.scaling = try scaling(dividingBy: divisors, theta: theta, headDimension: headDimension)
    return rope
  }

  /// The rule of Llama 3.1 whose divisors of frequencies a file holds instead of the rule.
  ///
  /// A rule is settled by the largest divisor and three numbers, of which all models have 1 and 4
  /// for the frequencies and a power of two for the original context; it counts only if it gives
  /// every divisor again.
  private func scaling(
    dividingBy tensor: SourceTensor, theta: Float, headDimension: Int
  ) throws(InputError) -> RoPEConfiguration.Scaling {
    func error(_ problem: String) -> InputError {
      InputError(tensor.region.name, "'rope_freqs.weight' \(problem)")
    }
    guard tensor.format.isReadable, tensor.shape == [headDimension / 2] else {
      throw error(
        "is \(tensor.format.name) \(tensor.shape); F32 [\(headDimension / 2)] is needed")
    }
    let divisors = tensor.values()
    guard let factor = divisors.max(), divisors.allSatisfy({ $0 >= 1 && $0.isFinite }) else {
      throw error("holds divisors below 1 or not finite")
    }
    if factor == 1 { return .none }
    let plain = RoPEConfiguration(theta: theta).frequencies(dimension: headDimension)
    for power in 4...20 {
      let scaling = RoPEConfiguration.Scaling.llama3(
        factor: factor, lowFrequencyFactor: 1, highFrequencyFactor: 4,
        originalContextLength: 1 << power)
      let found = RoPEConfiguration(theta: theta, scaling: scaling)
        .frequencies(dimension: headDimension)
      let isEqual = divisors.indices.allSatisfy { place in
        abs(found[place] * divisors[place] / plain[place] - 1) < Self.divisorTolerance
      }
      if isEqual { return scaling }
    }
    throw error("is not the scaling of Llama 3.1, the only one supported")
  }

  // A few roundings of f32; another rule differs by percents.
  private static let divisorTolerance: Float = 1e-4

  /// The tensors, sorted out, with the heads of queries and keys put in order.
  func tensors(_ text: TextConfiguration) throws(InputError) -> NamedTensors {
    var named = try NamedTensors(
      shards.tensors, source: metadata.file, names: GGUFNames.language)
    guard isInterleaved else { return named }
    for layer in 0..<text.layerCount {
      for role in [TensorRole.query, .key, .queryBias, .keyBias] {
        let key = TensorKey(role, layer: layer)
        // A tensor that is not whole heads has not the shape of the configuration either.
        if let tensor = named.byKey[key]?.interleaved(headSize: text.headDimension) {
          named.byKey[key] = tensor
        }
      }
    }
    return named
  }
}
