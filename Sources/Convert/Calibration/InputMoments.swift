package import Architecture
package import Kernels

/// Second moments E[x_c^2] of what enters each matrix product, per input column c.
///
/// The squared error of a product y = W x grows with the error of column c of W times x_c, so these
/// moments say what an error in a column of W costs.  Sums are f64 in the order of the rows, so the
/// same rows give the same bits whatever the threads.
package final class InputMoments {
  private var sums: [TensorKey: [Double]] = [:]
  private var counts: [TensorKey: Int] = [:]

  /// Matrices that read the same input as another one.
  private static let sharedInputs: [TensorRole: TensorRole] = [
    .key: .query, .value: .query, .up: .gate, .visionKey: .visionQuery, .visionValue: .visionQuery,
  ]

  package init() {}

  /// Takes in the rows that enter `role` in `layer`, as an `InputObserver` sees them.
  package func add(_ role: TensorRole, _ layer: Int?, _ input: Rows) {
    let key = TensorKey(role, layer: layer)
    var sum = sums.removeValue(forKey: key) ?? Array(repeating: 0, count: input.width)
    precondition(sum.count == input.width, "\(key) had \(sum.count) inputs, now \(input.width)")
    let values = input.span
    var totals = sum.mutableSpan
    for row in 0..<input.count {
      let first = row * input.width
      for column in 0..<input.width {
        let value = Double(values[first + column])
        totals[column] += value * value
      }
    }
    sums[key] = sum
    counts[key, default: 0] += input.count
  }

  /// The moments of what `key` reads, `[inputs]`; nil if no row was seen.
  package subscript(_ key: TensorKey) -> [Float]? {
    let seen = TensorKey(Self.sharedInputs[key.role] ?? key.role, layer: key.layer)
    guard let sum = sums[seen], let count = counts[seen], count > 0 else { return nil }
    return sum.map { Float($0 / Double(count)) }
  }
}
