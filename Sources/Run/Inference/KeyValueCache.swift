package import Architecture
package import Kernels

/// Keys and values of one sequence: per layer, the rows that the layer's segment holds.
///
/// Layers after the withdrawal hold text rows only, so they need less memory and each decoding
/// step reads less.
package final class KeyValueCache: Sendable {
  package let layers: [KeyValueRows]

  package init(_ text: TextConfiguration, precision: KeyValueRows.Precision) {
    layers = (0..<text.layerCount).map { _ in
      KeyValueRows(
        capacity: text.contextLength, keyValueHeads: text.keyValueHeadCount,
        headDimension: text.headDimension, precision: precision)
    }
  }

  /// Forgets all rows.
  package func removeAll() {
    for layer in layers { layer.removeAll() }
  }

  /// Bytes of the rows held, in all layers.
  package var byteCount: Int { layers.reduce(0) { $0 + $1.byteCount } }
}
