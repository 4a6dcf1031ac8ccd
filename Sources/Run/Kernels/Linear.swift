package import TensorCore

/// The weights of a linear layer: y = x · Wᵀ + b.
package struct Linear: Sendable {
  /// `[outputs, inputs]` in any encoding.
  package let weight: TensorView
  /// `[outputs]`, f32.
  package let bias: TensorView?

  package init(weight: TensorView, bias: TensorView?) {
    precondition(
      bias.map { $0.encoding == .f32 && $0.layout.rows * $0.layout.columns == weight.rows } ?? true,
      "bias does not fit a weight of \(weight.shape)")
    self.weight = weight
    self.bias = bias
  }

  package var inputs: Int { weight.columns }
  package var outputs: Int { weight.rows }
}
