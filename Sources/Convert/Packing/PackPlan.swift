package import Architecture
package import Checkpoints
package import TensorCore

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
