package import Architecture
package import Kernels
package import TensorCore

/// How far packed tensors lie from their source.
///
/// The error of a tensor is its relative root mean square: sqrt(sum (packed - source)^2 /
/// sum source^2), 0 where the source is all zeros.
package struct PackErrors: Sendable {
  /// By tensor, in the order in which they were packed.
  package private(set) var tensors: [(key: TensorKey, sums: SquaredError)] = []
  private let encodings: [TensorKey: Encoding]

  package init(_ plan: PackPlan) { encodings = plan.encodings }

  /// Notes what packing `key` cost; tensors in f32 are exact and need not be noted.
  package mutating func add(_ key: TensorKey, _ sums: SquaredError) {
    tensors.append((key, sums))
  }

  /// A part's error over all its tensors, and its worst tensor.
  package struct Part: Equatable, Sendable {
    package var part: ModelPart
    package var encodings: [Encoding]
    package var error: Double
    package var worst: TensorKey
    package var worstError: Double
  }

  /// The parts that have encoded tensors.
  package var parts: [Part] {
    ModelPart.allCases.compactMap { part in
      let members = tensors.filter { ModelPart(of: $0.key.role) == part }
      guard var worst = members.first else { return nil }
      var total = SquaredError()
      for member in members {
        total.add(member.sums)
        if member.sums.relative > worst.sums.relative { worst = member }
      }
      let used = Set(members.compactMap { encodings[$0.key] })
      return Part(
        part: part, encodings: Encoding.allCases.filter(used.contains), error: total.relative,
        worst: worst.key, worstError: worst.sums.relative)
    }
  }

  /// The error of each tensor under its name.
  package var json: JSONValue {
    .object(
      JSONObject(
        tensors.map { ($0.key.description, .number(Self.rounded($0.sums.relative))) }))
  }

  /// Eight decimals: far finer than any encoding's error, and short.
  private static func rounded(_ value: Double) -> Double { (value * 1e8).rounded() / 1e8 }
}
