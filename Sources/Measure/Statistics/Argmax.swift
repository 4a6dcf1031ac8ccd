/// The place of the largest value, the first of equals; NaN is never the largest.
///
/// Nil if the row is empty or all NaN.
package func argmax(_ row: Span<Float>) -> Int? {
  var best: Int?
  var peak = -Float.infinity
  for index in row.indices where row[index] > peak || (best == nil && row[index] == peak) {
    best = index
    peak = row[index]
  }
  return best
}
