import Glibc

/// What a model is, as values: sizes, constants and special ids; no weights, no files.
package struct ModelConfiguration: Equatable, Sendable {
  /// The family's name in the file format, such as "llava" or "llava_next".
  package var family: String
  /// The name that the source gave itself, for people.
  package var name: String
  package var text: TextConfiguration
  /// Nil for a text-only model.
  package var vision: VisionConfiguration?
  package var projector: ProjectorConfiguration?
  /// The placeholder whose embedding is replaced by visual rows; nil for a text-only model.
  package var imageTokenID: Int?
  /// Ids that end an answer.
  package var endOfTextIDs: [Int]

  package init(
    family: String, name: String, text: TextConfiguration, vision: VisionConfiguration?,
    projector: ProjectorConfiguration?, imageTokenID: Int?, endOfTextIDs: [Int]
  ) {
    self.family = family
    self.name = name
    self.text = text
    self.vision = vision
    self.projector = projector
    self.imageTokenID = imageTokenID
    self.endOfTextIDs = endOfTextIDs
  }
}

extension ModelConfiguration {
  /// Visual rows of `largestLayout`; 0 for a text-only model.
  package var rowsOfLargestImage: Int { vision?.largestLayout.rowCount ?? 0 }
}

/// A LLaMA-like decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU.
package struct TextConfiguration: Equatable, Sendable {
  package var layerCount: Int
  package var hiddenSize: Int
  package var intermediateSize: Int
  package var headCount: Int
  package var keyValueHeadCount: Int
  package var headDimension: Int
  package var vocabularySize: Int
  /// The most rows that a sequence may have.
  package var contextLength: Int
  package var normEpsilon: Float
  package var activation: Activation
  package var rope: RoPEConfiguration
  /// Whether the output head is the embedding matrix.
  package var isHeadTied: Bool
  package var hasQueryKeyValueBias: Bool
  package var hasOutputBias: Bool
  package var hasMLPBias: Bool

  package init(
    layerCount: Int, hiddenSize: Int, intermediateSize: Int, headCount: Int,
    keyValueHeadCount: Int, headDimension: Int, vocabularySize: Int, contextLength: Int,
    normEpsilon: Float, activation: Activation = .silu, rope: RoPEConfiguration,
    isHeadTied: Bool = false, hasQueryKeyValueBias: Bool = false, hasOutputBias: Bool = false,
    hasMLPBias: Bool = false
  ) {
    self.layerCount = layerCount
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.headCount = headCount
    self.keyValueHeadCount = keyValueHeadCount
    self.headDimension = headDimension
    self.vocabularySize = vocabularySize
    self.contextLength = contextLength
    self.normEpsilon = normEpsilon
    self.activation = activation
    self.rope = rope
    self.isHeadTied = isHeadTied
    self.hasQueryKeyValueBias = hasQueryKeyValueBias
    self.hasOutputBias = hasOutputBias
    self.hasMLPBias = hasMLPBias
  }

  /// Width of all query heads together.
  package var queryWidth: Int { headCount * headDimension }
  /// Width of all key (or value) heads together.
  package var keyValueWidth: Int { keyValueHeadCount * headDimension }
}

/// Rotary position embedding: half-split pairs (i, i + d/2), as Hugging Face stores LLaMA.
package struct RoPEConfiguration: Equatable, Sendable {
  /// How the base frequencies are changed for long contexts.
  package enum Scaling: Equatable, Sendable {
    case none
    /// Positions are divided by `factor`.
    case linear(factor: Float)
    /// Meta's rule of Llama 3.1: low frequencies are divided, high ones kept, between them blended.
    case llama3(
      factor: Float, lowFrequencyFactor: Float, highFrequencyFactor: Float,
      originalContextLength: Int)
  }

  package var theta: Float
  package var scaling: Scaling

  package init(theta: Float, scaling: Scaling = .none) {
    self.theta = theta
    self.scaling = scaling
  }

  /// The angle per position of each pair of a head, `[dimension / 2]`.
  package func frequencies(dimension: Int) -> [Float] {
    (0..<dimension / 2).map { pair in
      let plain = 1 / pow(theta, Float(2 * pair) / Float(dimension))
      switch scaling {
      case .none: return plain
      case .linear(let factor): return plain / factor
      case .llama3(let factor, let low, let high, let original):
        let wavelength = 2 * Float.pi / plain
        let lowWavelength = Float(original) / low
        let highWavelength = Float(original) / high
        if wavelength > lowWavelength { return plain / factor }
        if wavelength < highWavelength { return plain }
        let smooth = (Float(original) / wavelength - low) / (high - low)
        return (1 - smooth) * plain / factor + smooth * plain
      }
    }
  }
}

/// A pointwise non-linearity; raw values are names in the file format.
package enum Activation: String, CaseIterable, Sendable {
  case silu
  /// x · Φ(x), by the error function.
  case gelu
  /// The tanh approximation of GELU.
  case geluTanh = "gelu_tanh"
  /// x · sigmoid(1.702 x), as CLIP uses.
  case quickGELU = "quick_gelu"
}

/// A vision transformer over square tiles.
package struct VisionConfiguration: Equatable, Sendable {
  /// What towers differ in besides their sizes; raw values are names in the file format.
  package enum Kind: String, CaseIterable, Sendable {
    /// A class row before the patches, and a norm before the first layer.
    case clip
    /// Neither of them; patches have a bias.
    case siglip
  }

  package var kind: Kind
  package var hiddenSize: Int
  package var intermediateSize: Int
  /// Layers that are stored: the highest that any feature needs.
  package var layerCount: Int
  package var headCount: Int
  /// Side of a tile in pixels.
  package var imageSize: Int
  package var patchSize: Int
  package var activation: Activation
  package var normEpsilon: Float
  /// Which hidden states make the features, joined along the width: 0 enters the first layer,
  /// `layerCount` leaves the last stored one.
  package var featureLayers: [Int]
  /// Whether the class row stays among the features ("full"); false if there is none.
  package var keepsClassRow: Bool
  /// How pictures become tiles; nil: each is one tile.
  package var tiling: Tiling?

  package init(
    kind: Kind = .clip, hiddenSize: Int, intermediateSize: Int, layerCount: Int, headCount: Int,
    imageSize: Int, patchSize: Int, activation: Activation, normEpsilon: Float,
    featureLayers: [Int], keepsClassRow: Bool, tiling: Tiling? = nil
  ) {
    self.kind = kind
    self.hiddenSize = hiddenSize
    self.intermediateSize = intermediateSize
    self.layerCount = layerCount
    self.headCount = headCount
    self.imageSize = imageSize
    self.patchSize = patchSize
    self.activation = activation
    self.normEpsilon = normEpsilon
    self.featureLayers = featureLayers
    self.keepsClassRow = keepsClassRow
    self.tiling = tiling
  }

  package var headDimension: Int { hiddenSize / headCount }
  /// Patches along one side; pixels that do not fill a patch are not seen.
  package var patchesPerSide: Int { imageSize / patchSize }
  package var patchCount: Int { patchesPerSide * patchesPerSide }
  /// Rows before the patches.
  package var classRowCount: Int { kind == .clip ? 1 : 0 }
  /// Rows of the tower: the class row, then the patches.
  package var rowCount: Int { classRowCount + patchCount }
  /// Values of one patch: 3 channels.
  package var patchWidth: Int { 3 * patchSize * patchSize }
  /// Visual rows that one tile gives.
  package var rowsPerTile: Int { keepsClassRow ? rowCount : patchCount }
  /// The layout with the most rows among pictures that fill their grid: what costs are told for.
  package var largestLayout: PictureLayout {
    let filled = (tiling?.grids ?? []).map { PictureLayout(filling: $0, vision: self) }
    return filled.max { $0.rowCount < $1.rowCount } ?? PictureLayout(oneTileOf: self)
  }
  package var featureWidth: Int { hiddenSize * featureLayers.count }
}

/// The two-layer MLP between vision features and decoder rows.
package struct ProjectorConfiguration: Equatable, Sendable {
  package var activation: Activation
  package var hasBias: Bool

  package init(activation: Activation, hasBias: Bool) {
    self.activation = activation
    self.hasBias = hasBias
  }
}
