package import Architecture
package import Kernels

/// Is shown what enters the matrix products of a forward pass: the first matrix that reads the
/// rows (gate and up, or query, key and value, share theirs), its layer, and the rows,
/// `[rows, inputs]`, which hold these values during the call only.
package typealias InputObserver = (_ role: TensorRole, _ layer: Int?, _ input: Rows) -> Void
