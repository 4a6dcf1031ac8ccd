import Architecture
package import Kernels
import TensorCore

/// The two-layer MLP from vision features to decoder rows.
package struct Projector: Sendable {
  private let configuration: ProjectorConfiguration
  private let weights: ProjectorWeights
  private let compute: Compute

  init(_ configuration: ProjectorConfiguration, _ weights: ProjectorWeights, _ compute: Compute) {
    self.configuration = configuration
    self.weights = weights
    self.compute = compute
  }

  /// - Parameter features: `[rows, featureWidth]`.
  /// - Returns: `[rows, hiddenSize of the decoder]`.
  package func project(_ features: Rows, observe: InputObserver? = nil) -> Rows {
    let inner = Rows(count: features.count, width: weights.input.weight.rows)
    observe?(.projectorIn, nil, features)
    compute.multiply(
      features, weights.input, .activate(configuration.activation.kernel), into: inner)
    let rows = Rows(count: features.count, width: weights.output.weight.rows)
    observe?(.projectorOut, nil, inner)
    compute.multiply(inner, weights.output, into: rows)
    return rows
  }
}
