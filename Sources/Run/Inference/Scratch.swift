package import Architecture
import Kernels

/// Buffers of a decoder layer for up to `capacity` rows, allocated once.
package final class Scratch: Sendable {
  package let capacity: Int
  let normed: Rows
  let query: Rows
  let key: Rows
  let value: Rows
  let attended: Rows
  let gate: Rows
  let up: Rows
  /// Rows that a layer updates while others are frozen.
  let live: Rows

  package init(_ text: TextConfiguration, capacity: Int) {
    self.capacity = capacity
    normed = Rows(count: capacity, width: text.hiddenSize)
    // Attention is over when the feed-forward begins, so both use the same memory.
    let attention = 2 * text.queryWidth + 2 * text.keyValueWidth
    let shared = Rows(count: capacity, width: max(attention, 2 * text.intermediateSize))
    /// `width` columns of all rows, `offset` columns' worth of memory from the start.
    func part(_ offset: Int, _ width: Int) -> Rows {
      shared.reshaped(count: capacity * (offset + width), width: 1)[
        capacity * offset..<capacity * (offset + width)
      ].reshaped(count: capacity, width: width)
    }
    query = part(0, text.queryWidth)
    attended = part(text.queryWidth, text.queryWidth)
    key = part(2 * text.queryWidth, text.keyValueWidth)
    value = part(2 * text.queryWidth + text.keyValueWidth, text.keyValueWidth)
    gate = part(0, text.intermediateSize)
    up = part(text.intermediateSize, text.intermediateSize)
    live = Rows(count: capacity, width: text.hiddenSize)
  }
}
