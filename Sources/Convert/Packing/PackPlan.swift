package import Architecture
package import TensorCore
package import VTWMFile

/// Which encoding each tensor gets.
package struct PackPlan: Equatable, Sendable {
  package private(set) var encodings: [TensorKey: Encoding]

  /// What a part gets where it is not the encoding that was asked for.  Four bits cost most in
  /// these and gain least: the head decides between tokens, the embedding is read a row at a time,
  /// and tower and projector are a few percent of the bytes.
  private static let exceptions: [Encoding: [ModelPart: Encoding]] = [
    .q4: [.embedding: .q8, .head: .q8, .vision: .q8, .projector: .q8]
  ]

  /// Matrices and the embedding get `encoding`, with what the table of parts excepts; vectors and
  /// tables stay f32.
  package init(_ configuration: ModelConfiguration, encoding: Encoding) {
    encodings = [:]
    for tensor in configuration.tensorGroups.joined() {
      let part = ModelPart(of: tensor.key.role)
      encodings[tensor.key] =
        tensor.kind == .vector ? .f32 : Self.exceptions[encoding]?[part] ?? encoding
    }
  }

  /// The same, changed by `rules`, of which later ones win.
  ///
  /// - Throws: `InputError` naming a rule that means no matrix of the model.
  package init(
    _ configuration: ModelConfiguration, encoding: Encoding, rules: [EncodingRule]
  ) throws(InputError) {
    self.init(configuration, encoding: encoding)
    let matrices = configuration.tensorGroups.joined().filter { $0.kind != .vector }.map(\.key)
    for rule in rules {
      let meant = matrices.filter { rule.matches($0.description) }
      guard !meant.isEmpty else {
        throw InputError(
          "",
          """
          --encoding-for '\(printable(rule.pattern))' matches no matrix of this model; \
          vtwinfo --tensors lists names, such as '\(matrices[matrices.count / 2])'
          """)
      }
      for key in meant { encodings[key] = rule.encoding }
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
