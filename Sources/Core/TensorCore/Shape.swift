/// The extents of a tensor, outermost first.
///
/// A matrix is `[rows, columns]` with one row per output feature, as in PyTorch's `Linear.weight`.
package struct Shape: Equatable, Hashable, Sendable, CustomStringConvertible,
  ExpressibleByArrayLiteral
{
  package let dimensions: [Int]

  package init(_ dimensions: [Int]) { self.dimensions = dimensions }
  package init(arrayLiteral elements: Int...) { dimensions = elements }

  /// The number of elements, or nil if it does not fit an `Int`.
  package var elementCount: Int? { checkedProduct(dimensions) }

  package var rank: Int { dimensions.count }

  package var description: String {
    "[" + dimensions.map(String.init).joined(separator: ", ") + "]"
  }
}
