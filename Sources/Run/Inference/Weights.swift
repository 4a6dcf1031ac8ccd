import Architecture
import Kernels
import TensorCore

// The door between files and the forward pass: tensors become typed layers here, every shape is
// checked once, and nothing looks up a name afterwards.

/// Weights of one decoder layer.
package struct DecoderLayerWeights: Sendable {
  let attentionNorm: TensorView
  let query: Linear
  // Lists of those that see the same rows are made once: the layer loop allocates none.
  /// Key and value.
  let keyValue: [Linear]
  /// Query, key and value.
  let queryKeyValue: [Linear]
  let attentionOutput: Linear
  let feedForwardNorm: TensorView
  let gate: Linear
  let up: Linear
  let down: Linear
}

/// Weights of the text decoder.
package struct DecoderWeights: Sendable {
  let embedding: TensorView
  package let layers: [DecoderLayerWeights]
  let finalNorm: TensorView
  let head: Linear
}

/// Weights of one layer of the vision tower.
struct VisionLayerWeights: Sendable {
  let attentionNorm: TensorView
  let attentionNormBias: TensorView
  let query: Linear
  let key: Linear
  let value: Linear
  let attentionOutput: Linear
  let feedForwardNorm: TensorView
  let feedForwardNormBias: TensorView
  let up: Linear
  let down: Linear
}

/// Weights of the vision tower.
struct VisionWeights: Sendable {
  let classEmbedding: TensorView
  let patchEmbedding: Linear
  let positionEmbedding: TensorView
  let preNorm: TensorView
  let preNormBias: TensorView
  let layers: [VisionLayerWeights]
}

/// Weights of the projector.
struct ProjectorWeights: Sendable {
  let input: Linear
  let output: Linear
}

/// Hands out tensors by role and refuses any that is missing or of another shape.
struct WeightLookup {
  private let tensors: TensorTable
  private let specifications: [TensorKey: TensorSpecification]

  /// - Throws: `InputError` naming the first tensor that is missing, misshapen, or not f32 where
  ///   the forward pass reads plain numbers.
  init(_ tensors: TensorTable, _ configuration: ModelConfiguration) throws(InputError) {
    self.tensors = tensors
    var specifications: [TensorKey: TensorSpecification] = [:]
    for group in configuration.tensorGroups {
      for specification in group {
        guard let view = tensors[specification.key] else {
          throw InputError("", "tensor '\(specification.key)' is missing")
        }
        guard view.shape == specification.shape else {
          throw InputError(
            view.region.name,
            "tensor '\(specification.key)' is \(view.shape); the configuration "
              + "needs \(specification.shape)")
        }
        guard specification.kind != .vector || view.encoding == .f32 else {
          throw InputError(
            view.region.name, "tensor '\(specification.key)' is \(view.encoding.name); f32 expected"
          )
        }
        specifications[specification.key] = specification
      }
    }
    self.specifications = specifications
  }

  func tensor(_ role: TensorRole, _ layer: Int? = nil) throws(InputError) -> TensorView {
    let key = TensorKey(role, layer: layer)
    guard specifications[key] != nil, let view = tensors[key] else {
      throw InputError("", "tensor '\(key)' is missing")
    }
    return view
  }

  /// The matrix `role` with the bias of role `bias` if the model has one.
  func linear(
    _ role: TensorRole, bias: TensorRole? = nil, _ layer: Int? = nil
  ) throws(InputError) -> Linear {
    let weight = try tensor(role, layer)
    guard let bias, specifications[TensorKey(bias, layer: layer)] != nil else {
      return Linear(weight: weight, bias: nil)
    }
    return Linear(weight: weight, bias: try tensor(bias, layer))
  }
}

// The matrices that a pass reads whole, in the order of their use.

extension VisionWeights {
  var matrices: [TensorView] {
    [patchEmbedding.weight, positionEmbedding]
      + layers.flatMap { layer in
        [layer.query, layer.key, layer.value, layer.attentionOutput, layer.up, layer.down]
          .map(\.weight)
      }
  }
}

extension ProjectorWeights {
  var matrices: [TensorView] { [input.weight, output.weight] }
}

extension DecoderWeights {
  var matrices: [TensorView] {
    layers.flatMap { layer in
      (layer.queryKeyValue + [layer.attentionOutput] + [layer.gate, layer.up, layer.down]).map(
        \.weight)
    } + [head.weight]
  }
}

extension DecoderWeights {
  init(_ lookup: WeightLookup, _ text: TextConfiguration) throws(InputError) {
    embedding = try lookup.tensor(.embedding)
    var layers: [DecoderLayerWeights] = []
    for layer in 0..<text.layerCount {
      let query = try lookup.linear(.query, bias: .queryBias, layer)
      let keyValue = [
        try lookup.linear(.key, bias: .keyBias, layer),
        try lookup.linear(.value, bias: .valueBias, layer),
      ]
      layers.append(
        DecoderLayerWeights(
          attentionNorm: try lookup.tensor(.attentionNorm, layer),
          query: query, keyValue: keyValue, queryKeyValue: [query] + keyValue,
          attentionOutput: try lookup.linear(.attentionOutput, bias: .attentionOutputBias, layer),
          feedForwardNorm: try lookup.tensor(.feedForwardNorm, layer),
          gate: try lookup.linear(.gate, bias: .gateBias, layer),
          up: try lookup.linear(.up, bias: .upBias, layer),
          down: try lookup.linear(.down, bias: .downBias, layer)))
    }
    self.layers = layers
    finalNorm = try lookup.tensor(.finalNorm)
    head = text.isHeadTied ? Linear(weight: embedding, bias: nil) : try lookup.linear(.head)
  }
}

extension VisionWeights {
  init(_ lookup: WeightLookup, _ vision: VisionConfiguration) throws(InputError) {
    classEmbedding = try lookup.tensor(.classEmbedding)
    patchEmbedding = try lookup.linear(.patchEmbedding)
    positionEmbedding = try lookup.tensor(.positionEmbedding)
    preNorm = try lookup.tensor(.preNorm)
    preNormBias = try lookup.tensor(.preNormBias)
    var layers: [VisionLayerWeights] = []
    for layer in 0..<vision.layerCount {
      layers.append(
        VisionLayerWeights(
          attentionNorm: try lookup.tensor(.visionAttentionNorm, layer),
          attentionNormBias: try lookup.tensor(.visionAttentionNormBias, layer),
          query: try lookup.linear(.visionQuery, bias: .visionQueryBias, layer),
          key: try lookup.linear(.visionKey, bias: .visionKeyBias, layer),
          value: try lookup.linear(.visionValue, bias: .visionValueBias, layer),
          attentionOutput: try lookup.linear(
            .visionAttentionOutput, bias: .visionAttentionOutputBias, layer),
          feedForwardNorm: try lookup.tensor(.visionFeedForwardNorm, layer),
          feedForwardNormBias: try lookup.tensor(.visionFeedForwardNormBias, layer),
          up: try lookup.linear(.visionUp, bias: .visionUpBias, layer),
          down: try lookup.linear(.visionDown, bias: .visionDownBias, layer)))
    }
    self.layers = layers
  }
}

extension ProjectorWeights {
  init(_ lookup: WeightLookup) throws(InputError) {
    input = try lookup.linear(.projectorIn, bias: .projectorInBias)
    output = try lookup.linear(.projectorOut, bias: .projectorOutBias)
  }
}

extension Activation {
  /// The kernel that computes it.
  var kernel: KernelActivation {
    switch self {
    case .silu: .silu
    case .gelu: .gelu
    case .geluTanh: .geluTanh
    case .quickGELU: .quickGELU
    }
  }
}
