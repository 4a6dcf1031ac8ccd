package import Architecture
package import TensorCore

/// What became of the number types of a source.
package struct TypeChanges: Equatable, Sendable {
  /// Tensors of one type that are stored in one encoding.
  package struct Row: Equatable, Sendable {
    /// As the source calls it: "BF16", "Q4_K".
    package var source: String
    package var encoding: Encoding
    package var tensorCount: Int
    package var sourceByteCount: Int
  }

  /// Those that hold most of the source first.
  package let rows: [Row]

  package init(of tensors: [TensorKey: SourceTensor], in plan: PackPlan) {
    var rows: [Row] = []
    for (key, tensor) in tensors {
      guard let encoding = plan.encodings[key] else { continue }
      let name = tensor.format.name
      let place = rows.firstIndex { $0.source == name && $0.encoding == encoding } ?? rows.count
      if place == rows.count {
        rows.append(Row(source: name, encoding: encoding, tensorCount: 0, sourceByteCount: 0))
      }
      rows[place].tensorCount += 1
      rows[place].sourceByteCount += tensor.range.count
    }
    self.rows = rows.sorted {
      ($1.sourceByteCount, $0.source, $0.encoding.name)
        < ($0.sourceByteCount, $1.source, $1.encoding.name)
    }
  }

  /// One line: "Q4_K as q8 (217 tensors), F32 as f32 (49)".
  package var text: String {
    rows.enumerated().map { place, row in
      let unit = place > 0 ? "" : row.tensorCount == 1 ? " tensor" : " tensors"
      return "\(row.source) as \(row.encoding.name) (\(row.tensorCount)\(unit))"
    }.joined(separator: ", ")
  }

  package var json: JSONValue {
    .array(
      rows.map { row in
        [
          "from": .string(row.source), "to": .string(row.encoding.name),
          "tensors": .integer(row.tensorCount),
        ]
      })
  }
}
