/// The product of `factors`, or nil if it overflows or any factor is negative.
package func checkedProduct(_ factors: some Sequence<Int>) -> Int? {
  var result = 1
  for factor in factors {
    let (value, overflow) = result.multipliedReportingOverflow(by: factor)
    if overflow || factor < 0 { return nil }
    result = value
  }
  return result
}

/// The sum of two non-negative sizes, or nil if it overflows.
package func checkedSum(_ a: Int, _ b: Int) -> Int? {
  let (value, overflow) = a.addingReportingOverflow(b)
  return overflow ? nil : value
}

/// `value` rounded up to a multiple of `alignment` (> 0), or nil if it overflows.
package func roundedUp(_ value: Int, to alignment: Int) -> Int? {
  let rest = value % alignment
  return rest == 0 ? value : checkedSum(value, alignment - rest)
}
