package import Testing

/// Expects `found` to equal `expected` up to `relative` times the largest expected magnitude, or
/// up to `absolute` where that is more, and reports the worst difference and its place.
///
/// The scale is that of the whole array: what a sum of many terms is accurate to does not shrink
/// where the terms happen to cancel.  Infinities must be equal; NaN is equal to nothing.
package func expectClose(
  _ found: [Float], _ expected: [Float], relative: Float = 1e-5, absolute: Float = 0,
  _ what: String = "", sourceLocation: SourceLocation = #_sourceLocation
) {
  let label = what.isEmpty ? "" : "\(what): "
  guard found.count == expected.count else {
    Issue.record(
      "\(label)\(found.count) values, \(expected.count) expected", sourceLocation: sourceLocation)
    return
  }
  let scale = expected.reduce(Float(0)) { $1.isFinite ? max($0, $1.magnitude) : $0 }
  let tolerance = max(absolute, relative * scale)
  guard let worst = worstDifference(found, expected), !(worst.difference <= tolerance) else {
    return
  }
  Issue.record(
    """
    \(label)worst difference \(worst.difference) at index \(worst.index): found \
    \(found[worst.index]), expected \(expected[worst.index]) (tolerance \(tolerance), scale \
    \(scale), \(found.count) values)
    """, sourceLocation: sourceLocation)
}

/// The largest difference of two arrays of equal length and its first place; a NaN on either side
/// or different infinities count as infinite.  Nil for empty arrays.
package func worstDifference(
  _ found: [Float], _ expected: [Float]
) -> (difference: Float, index: Int)? {
  var worst: (difference: Float, index: Int)?
  for (index, (a, b)) in zip(found, expected).enumerated() {
    let distance = a == b ? 0 : (a - b).magnitude
    let difference = distance.isNaN ? .infinity : distance
    if difference > worst?.difference ?? -1 { worst = (difference, index) }
  }
  return worst
}
