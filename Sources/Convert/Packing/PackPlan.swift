package import Architecture
package import TensorCore
package import VTWMFile

/// Which encoding each tensor gets.
package struct PackPlan: Equatable, Sendable {
  package private(set) var encodings: [TensorKey: Encoding]

  /// What a part gets where it is not the encoding that was asked for.  Four bits cost most in
  /// these and gain least: the head decides between tokens, the embedding is read a row at a time,
  /// and tower and projector are a few percent of the bytes.
  private static let exceptions: [Encoding: [ModelPart: Encoding]] = {
    let spared: [ModelPart: Encoding] = [
      .embedding: .q8, .head: .q8, .vision: .q8, .projector: .q8,
    ]
    return [.q4: spared, .q4a: spared]
  }()

  /// What a matrix gets whose numbers are not integers already, if no encoding is asked for.
  package static let standard = Encoding.q8

  /// Matrices and the embedding get `encoding`, with what the table of parts excepts; vectors and
  /// tables stay f32.
  package init(_ configuration: ModelConfiguration, encoding: Encoding) {
    self.init(configuration) { Self.exceptions[encoding]?[ModelPart(of: $0.role)] ?? encoding }
  }

  /// Matrices keep the precision of `sources`: quantised ones get the encoding that holds their
  /// integers, others the standard.
  package init(_ configuration: ModelConfiguration, keeping sources: [TensorKey: SourceTensor]) {
    self.init(configuration) { sources[$0]?.format.integers?.encoding ?? Self.standard }
  }

  private init(_ configuration: ModelConfiguration, matrix: (TensorKey) -> Encoding) {
    encodings = [:]
    for tensor in configuration.tensorGroups.joined() {
      encodings[tensor.key] = tensor.kind == .vector ? .f32 : matrix(tensor.key)
    }
  }

  /// The same, changed by `rules`, of which later ones win.
  ///
  /// - Throws: `InputError` naming a rule that means no matrix of the model.
  package func changed(
    by rules: [EncodingRule], _ configuration: ModelConfiguration
  ) throws(InputError) -> PackPlan {
    var plan = self
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
      for key in meant { plan.encodings[key] = rule.encoding }
    }
    return plan
  }
}

extension PackPlan {
  /// What the cache is kept in beside these weights: f32 where the decoder is f32, so that results
  /// are those of the source; f16 elsewhere, whose rounding is below that of the weights.
  package var keyValuePrecision: KeyValuePrecision {
    encodings[TensorKey(.query, layer: 0)] == .f32 ? .f32 : .f16
  }
}
