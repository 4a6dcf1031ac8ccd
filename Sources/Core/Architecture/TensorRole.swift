package import TensorCore

/// What a tensor does in the model.  Raw values are numbers of the file format and never reused.
package enum TensorRole: UInt16, CaseIterable, Sendable {
  // Decoder
  case embedding = 1
  case finalNorm = 2
  case head = 3
  case attentionNorm = 16
  case query = 17
  case key = 18
  case value = 19
  case attentionOutput = 20
  case queryBias = 21
  case keyBias = 22
  case valueBias = 23
  case attentionOutputBias = 24
  case feedForwardNorm = 32
  case gate = 33
  case up = 34
  case down = 35
  case gateBias = 36
  case upBias = 37
  case downBias = 38

  // Vision tower
  case classEmbedding = 256
  case patchEmbedding = 257
  case positionEmbedding = 258
  case preNorm = 259
  case preNormBias = 260
  case patchEmbeddingBias = 261
  case visionAttentionNorm = 272
  case visionAttentionNormBias = 273
  case visionQuery = 274
  case visionKey = 275
  case visionValue = 276
  case visionAttentionOutput = 277
  case visionQueryBias = 278
  case visionKeyBias = 279
  case visionValueBias = 280
  case visionAttentionOutputBias = 281
  case visionFeedForwardNorm = 288
  case visionFeedForwardNormBias = 289
  case visionUp = 290
  case visionUpBias = 291
  case visionDown = 292
  case visionDownBias = 293

  // Projector
  case projectorIn = 512
  case projectorInBias = 513
  case projectorOut = 514
  case projectorOutBias = 515
  /// The decoder row behind each line of a tiled picture.
  case imageNewline = 516
}

/// One tensor of a model: what it does, and in which layer (of the decoder or the tower).
package struct TensorKey: Hashable, Sendable, Comparable, CustomStringConvertible {
  package var role: TensorRole
  /// Nil for tensors that exist once.
  package var layer: Int?

  package init(_ role: TensorRole, layer: Int? = nil) {
    self.role = role
    self.layer = layer
  }

  /// The canonical name, such as "text.layers.3.query".
  package var description: String {
    let part = "\(role)"
    let place = layer.map { "layers.\($0)." } ?? ""
    switch role.rawValue {
    case ..<256: return "text.\(place)\(part)"
    case ..<512: return "vision.\(place)\(part)"
    default: return "projector.\(part)"
    }
  }

  package static func < (a: Self, b: Self) -> Bool {
    (a.layer ?? -1, a.role.rawValue) < (b.layer ?? -1, b.role.rawValue)
  }
}

/// What the file format and the packer must know of a tensor besides its numbers.
package struct TensorSpecification: Equatable, Sendable {
  /// Vectors and tables that are added row by row stay f32; matrices are multiplied and may be
  /// encoded; the embedding is also read row by row.
  package enum Kind: UInt8, Sendable {
    case matrix = 1
    case vector = 2
    case embedding = 3
  }

  package var key: TensorKey
  package var kind: Kind
  /// `[rows, columns]` or `[width]`.
  package var shape: Shape
}

extension ModelConfiguration {
  /// Every tensor the model needs, in execution order, grouped by when it is used:
  /// vision tower, projector, embedding, one group per decoder layer, final norm and head.
  package var tensorGroups: [[TensorSpecification]] {
    var groups: [[TensorSpecification]] = []
    if let vision, let projector {
      groups.append(Self.visionTensors(vision))
      groups.append(projectorTensors(projector, vision))
    }
    groups.append([
      matrix(.embedding, [text.vocabularySize, text.hiddenSize], kind: .embedding)
    ])
    for layer in 0..<text.layerCount { groups.append(decoderTensors(layer)) }
    var last = [vector(.finalNorm, text.hiddenSize)]
    if !text.isHeadTied { last.append(matrix(.head, [text.vocabularySize, text.hiddenSize])) }
    groups.append(last)
    return groups
  }

  private static func visionTensors(_ vision: VisionConfiguration) -> [TensorSpecification] {
    let width = vision.hiddenSize
    let patches = matrix(.patchEmbedding, [width, vision.patchWidth])
    let positions = matrix(.positionEmbedding, [vision.rowCount, width], kind: .vector)
    var tensors =
      switch vision.kind {
      case .clip:
        [
          vector(.classEmbedding, width), patches, positions, vector(.preNorm, width),
          vector(.preNormBias, width),
        ]
      case .siglip: [patches, vector(.patchEmbeddingBias, width), positions]
      }
    for layer in 0..<vision.layerCount {
      tensors += [
        vector(.visionAttentionNorm, width, layer), vector(.visionAttentionNormBias, width, layer),
        matrix(.visionQuery, [width, width], layer), vector(.visionQueryBias, width, layer),
        matrix(.visionKey, [width, width], layer), vector(.visionKeyBias, width, layer),
        matrix(.visionValue, [width, width], layer), vector(.visionValueBias, width, layer),
        matrix(.visionAttentionOutput, [width, width], layer),
        vector(.visionAttentionOutputBias, width, layer),
        vector(.visionFeedForwardNorm, width, layer),
        vector(.visionFeedForwardNormBias, width, layer),
        matrix(.visionUp, [vision.intermediateSize, width], layer),
        vector(.visionUpBias, vision.intermediateSize, layer),
        matrix(.visionDown, [width, vision.intermediateSize], layer),
        vector(.visionDownBias, width, layer),
      ]
    }
    return tensors
  }

  private func projectorTensors(
    _ projector: ProjectorConfiguration, _ vision: VisionConfiguration
  ) -> [TensorSpecification] {
    let width = text.hiddenSize
    var tensors = [Self.matrix(.projectorIn, [width, vision.featureWidth])]
    if projector.hasBias { tensors.append(vector(.projectorInBias, width)) }
    tensors.append(matrix(.projectorOut, [width, width]))
    if projector.hasBias { tensors.append(vector(.projectorOutBias, width)) }
    if vision.tiling != nil { tensors.append(vector(.imageNewline, width)) }
    return tensors
  }

  private func decoderTensors(_ layer: Int) -> [TensorSpecification] {
    let width = text.hiddenSize
    var tensors = [vector(.attentionNorm, width, layer)]
    func add(_ role: TensorRole, _ shape: Shape, bias: TensorRole, if hasBias: Bool) {
      tensors.append(matrix(role, shape, layer))
      if hasBias { tensors.append(vector(bias, shape.dimensions[0], layer)) }
    }
    add(.query, [text.queryWidth, width], bias: .queryBias, if: text.hasQueryKeyValueBias)
    add(.key, [text.keyValueWidth, width], bias: .keyBias, if: text.hasQueryKeyValueBias)
    add(.value, [text.keyValueWidth, width], bias: .valueBias, if: text.hasQueryKeyValueBias)
    add(
      .attentionOutput, [width, text.queryWidth], bias: .attentionOutputBias,
      if: text.hasOutputBias)
    tensors.append(vector(.feedForwardNorm, width, layer))
    add(.gate, [text.intermediateSize, width], bias: .gateBias, if: text.hasMLPBias)
    add(.up, [text.intermediateSize, width], bias: .upBias, if: text.hasMLPBias)
    add(.down, [width, text.intermediateSize], bias: .downBias, if: text.hasMLPBias)
    return tensors
  }

  private static func matrix(
    _ role: TensorRole, _ shape: Shape, _ layer: Int? = nil,
    kind: TensorSpecification.Kind = .matrix
  ) -> TensorSpecification {
    TensorSpecification(key: TensorKey(role, layer: layer), kind: kind, shape: shape)
  }

  private func matrix(
    _ role: TensorRole, _ shape: Shape, _ layer: Int? = nil,
    kind: TensorSpecification.Kind = .matrix
  ) -> TensorSpecification {
    Self.matrix(role, shape, layer, kind: kind)
  }

  private static func vector(
    _ role: TensorRole, _ width: Int, _ layer: Int? = nil
  ) -> TensorSpecification {
    matrix(role, [width], layer, kind: .vector)
  }

  private func vector(
    _ role: TensorRole, _ width: Int, _ layer: Int? = nil
  ) -> TensorSpecification {
    Self.vector(role, width, layer)
  }
}
