package import Architecture
import Kernels

/// Buffers of a decoder layer for up to `capacity` rows, allocated once; one pass at a time uses
/// them.
package final class Scratch: @unchecked Sendable {
  package let capacity: Int
  let normed: Rows
  let query: Rows
  let key: Rows
  let value: Rows
  let attended: Rows
  let gated: Rows
  /// Cache rows that each query of a stream sees.
  var visible: [Int32] = []

  package init(_ text: TextConfiguration, capacity: Int) {
    self.capacity = capacity
    normed = Rows(count: capacity, width: text.hiddenSize)
    // Attention is over when the feed-forward begins, so both use the same memory.
    let attention = [text.queryWidth, text.queryWidth, text.keyValueWidth, text.keyValueWidth]
    let shared = Rows(
      count: capacity, width: max(attention.reduce(0, +), text.intermediateSize))
    let attentionParts = shared.parts(widths: attention)
    (query, attended) = (attentionParts[0], attentionParts[1])
    (key, value) = (attentionParts[2], attentionParts[3])
    gated = shared.parts(widths: [text.intermediateSize])[0]
    visible.reserveCapacity(capacity)
  }
}
