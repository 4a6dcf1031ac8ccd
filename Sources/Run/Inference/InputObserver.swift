package import Architecture
package import Kernels

/// Is shown what enters the matrix products of a forward pass: the first matrix that reads the
/// rows (gate and up, or query, key and value, share theirs), its layer, and the rows,
/// `[rows, inputs]`, which hold these values during the call only.
package typealias InputObserver = (_ role: TensorRole, _ layer: Int?, _ input: Rows) -> Void

/// Is shown what a layer's attention compares: the keys of a stream's rows, and their queries, both
/// rotated to their positions, `[rows, heads * headDimension]`; valid during the call only.
package typealias AttentionObserver = (_ keys: Rows, _ queries: Rows) -> Void
