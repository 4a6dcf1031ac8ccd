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
    query = Rows(count: capacity, width: text.queryWidth)
    key = Rows(count: capacity, width: text.keyValueWidth)
    value = Rows(count: capacity, width: text.keyValueWidth)
    attended = Rows(count: capacity, width: text.queryWidth)
    gate = Rows(count: capacity, width: text.intermediateSize)
    up = Rows(count: capacity, width: text.intermediateSize)
    live = Rows(count: capacity, width: text.hiddenSize)
  }
}
