import Architecture
import TensorCore

/// A decoder family by its `model_type`: what its configuration class assumes where a file is
/// silent, and which biases it has.
///
/// All are LLaMA layers; the values are those of the classes in transformers.
struct TextFamily: Equatable {
  /// Which projections of the attention have a bias.
  enum Bias {
    /// `attention_bias` turns on all four.
    case configured
    case none
    case queryKeyValue
  }

  /// Whether rows see only their last `sliding_window` neighbours.
  enum Window {
    case none
    /// Always, unless `sliding_window` is null.
    case always
    /// If `use_sliding_window` says so.
    case configured
  }

  let modelType: String
  var vocabularySize = 32000
  var intermediateSize = 11008
  var keyValueHeadCount: Int?
  var contextLength = 2048
  var bias = Bias.none
  var hasConfiguredMLPBias = false
  var window = Window.none
  /// The id that ends an answer where no file names one.
  var endOfTextID: Int?

  static let hiddenSize = 4096
  static let layerCount = 32
  static let headCount = 32
  static let normEpsilon = 1e-6
  static let ropeTheta = 10000.0
  static let slidingWindow = 4096

  static let llama = TextFamily(
    modelType: "llama", bias: .configured, hasConfiguredMLPBias: true, endOfTextID: 2)

  static let all: [TextFamily] = [
    .llama,
    TextFamily(
      modelType: "mistral", intermediateSize: 14336, keyValueHeadCount: 8, contextLength: 131072,
      window: .always, endOfTextID: 2),
    TextFamily(
      modelType: "qwen2", vocabularySize: 151936, intermediateSize: 22016, keyValueHeadCount: 32,
      contextLength: 32768, bias: .queryKeyValue, window: .configured),
  ]

  /// The decoder that `settings` describes.
  ///
  /// - Parameter isHeadTied: what the model around the decoder says of `tie_word_embeddings`.
  func configuration(
    _ settings: Settings, isHeadTied: Bool
  ) throws(InputError) -> TextConfiguration {
    let hiddenSize = try settings.integer(
      "hidden_size", default: Self.hiddenSize, in: 1...Limit.dimension)
    let headCount = try settings.integer(
      "num_attention_heads", default: Self.headCount, in: 1...Limit.heads)
    let keyValueHeadCount = try settings.integer(
      "num_key_value_heads", default: defaultKeyValueHeads(settings, heads: headCount),
      in: 1...Limit.heads)
    guard headCount.isMultiple(of: keyValueHeadCount) else {
      throw settings.error(
        "num_key_value_heads", "is \(keyValueHeadCount), which does not divide \(headCount) heads")
    }
    let headDimension: Int
    if let given = try settings.integer("head_dim", in: 1...Limit.headDimension) {
      headDimension = given
    } else {
      guard hiddenSize.isMultiple(of: headCount) else {
        throw settings.error(
          "hidden_size", "is \(hiddenSize), not a multiple of the \(headCount) heads")
      }
      headDimension = hiddenSize / headCount
    }
    guard headDimension <= Limit.headDimension, headDimension.isMultiple(of: 2) else {
      throw settings.error(
        "head_dim",
        """
        is \(headDimension); rotary positions need an even size of at most \
        \(Limit.headDimension)
        """)
    }
    let contextLength = try settings.integer(
      "max_position_embeddings", default: self.contextLength, in: 1...Limit.context)
    let hasConfiguredBias =
      bias == .configured ? try settings.bool("attention_bias", default: false) : false
    return TextConfiguration(
      layerCount: try settings.integer(
        "num_hidden_layers", default: Self.layerCount, in: 1...Limit.layers),
      hiddenSize: hiddenSize,
      intermediateSize: try settings.integer(
        "intermediate_size", default: intermediateSize, in: 1...Limit.dimension),
      headCount: headCount,
      keyValueHeadCount: keyValueHeadCount,
      headDimension: headDimension,
      vocabularySize: try settings.integer(
        "vocab_size", default: vocabularySize, in: 1...Limit.vocabulary),
      contextLength: try seenContext(settings, of: contextLength),
      normEpsilon: try settings.epsilon("rms_norm_eps", default: Self.normEpsilon),
      activation: try settings.choice("hidden_act", default: "silu", of: activationNames),
      rope: try RoPEConfiguration(settings, contextLength: contextLength),
      isHeadTied: isHeadTied,
      hasQueryKeyValueBias: bias == .queryKeyValue || hasConfiguredBias,
      hasOutputBias: hasConfiguredBias,
      hasMLPBias: hasConfiguredMLPBias ? try settings.bool("mlp_bias", default: false) : false)
  }

  /// The family's own number, unless the file gives another number of heads to share.
  private func defaultKeyValueHeads(_ settings: Settings, heads: Int) -> Int {
    // A null means one per head; an absent field means the class default.
    settings.isNull("num_key_value_heads") ? heads : keyValueHeadCount ?? heads
  }

  /// The longest sequence whose rows all see each other.
  ///
  /// Within it a sliding window changes nothing, so a model with one runs exactly, only shorter.
  private func seenContext(_ settings: Settings, of contextLength: Int) throws(InputError) -> Int {
    let isWindowed =
      switch window {
      case .none: false
      case .always: !settings.isNull("sliding_window")
      case .configured: try settings.bool("use_sliding_window", default: false)
      }
    guard isWindowed else { return contextLength }
    let size = try settings.integer(
      "sliding_window", default: Self.slidingWindow, in: 1...Limit.context)
    return min(size, contextLength)
  }
}

extension RoPEConfiguration {
  /// Reads `rope_theta` and the scaling, at the top of `settings` (transformers 4) or inside
  /// `rope_parameters` (transformers 5).
  ///
  /// - Parameter contextLength: what the original length of a llama3 scaling defaults to.
  init(_ settings: Settings, contextLength: Int) throws(InputError) {
    let older = try settings.section("rope_scaling")
    let newer = try settings.section("rope_parameters")
    let parameters = older ?? newer ?? settings.empty("rope_parameters")
    guard !parameters.holdsObjects else {
      throw settings.error("rope_parameters", "differs between layers, which is not supported")
    }
    for place in [settings, parameters] {
      if let part = try place.positive("partial_rotary_factor"), part != 1 {
        throw place.error("partial_rotary_factor", "is \(part); only whole heads are supported")
      }
    }
    let topTheta = try settings.positive("rope_theta")
    let theta =
      try parameters.positive("rope_theta") ?? topTheta ?? TextFamily.ropeTheta

    let typeKey = parameters.has("rope_type") ? "rope_type" : "type"
    let kind = try parameters.choice(
      typeKey, default: "default",
      of: [("default", Kind.none), ("linear", .linear), ("llama3", .llama3)])
    func required(_ key: String) throws(InputError) -> Float {
      guard let value = try parameters.positive(key) else {
        throw parameters.error(key, "is missing")
      }
      return Float(value)
    }
    let scaling: Scaling
    switch kind {
    case .none: scaling = .none
    case .linear: scaling = .linear(factor: try required("factor"))
    case .llama3:
      let low = try required("low_freq_factor")
      let high = try required("high_freq_factor")
      guard low < high else {
        throw parameters.error("high_freq_factor", "is \(high), not above low_freq_factor \(low)")
      }
      let key = "original_max_position_embeddings"
      let outer = try settings.integer(key, in: 1...Limit.context)
      let inner = try parameters.integer(key, in: 1...Limit.context)
      scaling = .llama3(
        factor: try required("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
        originalContextLength: outer ?? inner ?? contextLength)
    }
    self.init(theta: Float(theta), scaling: scaling)
  }

  private enum Kind {
    case none, linear, llama3
  }
}
