package import Architecture
package import TensorCore
package import VTWMFile

/// Which encoding each tensor gets.
package struct PackPlan: Equatable, Sendable {
  package var encodings: [TensorKey: Encoding]

  /// Matrices and the embedding get `encoding`; vectors and tables stay f32.
  package init(_ configuration: ModelConfiguration, encoding: Encoding) {
    encodings = [:]
    for group in configuration.tensorGroups {
      for tensor in group {
        encodings[tensor.key] = tensor.kind == .vector ? .f32 : encoding
      }
    }
  }
}

extension PackPlan {
  /// What the cache is kept in beside these weights: f32 where the decoder is f32, so that results
  /// are those of the source; f16 elsewhere, whose rounding is below that of the weights.
  package var keyValuePrecision: KeyValuePrecision {
    encodings[TensorKey(.query, layer: 0)] == .f32 ? .f32 : .f16
  }
}
