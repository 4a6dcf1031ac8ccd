/// What one sample contributes to a mean: the sum of its values and how many they are.
package struct SampleSum: Sendable {
  package var sum: Double
  package var count: Int

  package init(sum: Double, count: Int) {
    self.sum = sum
    self.count = count
  }
}

/// Where the true mean of values that are never negative lies with 95 % confidence.
///
/// The values of one sample depend on each other, so samples are the unit: the mean of all values
/// is the ratio of the sums to the counts, and the interval that of `ratioInterval`, cut at zero.
///
/// - Parameter samples: in any order; the order changes no bit of the result.
/// - Returns: nil for fewer than two samples, or if a sum is not finite.
package func meanInterval(of samples: [SampleSum]) -> ClosedRange<Double>? {
  ratioInterval(of: samples.map { (y: $0.sum, x: Double($0.count)) }).map {
    max(0, $0.lowerBound)...$0.upperBound
  }
}

/// Where the true ratio of two sums over samples lies with 95 % confidence.
///
/// With n pairs, the ratio is R = Σy / Σx, its variance n / (n - 1) · Σ(y - R x)² / (Σx)² (the ratio
/// estimator of survey sampling: Cochran, Sampling Techniques, 1977, section 6.3, without the
/// correction for finite populations), and the interval Student's with n - 1 degrees of freedom.
/// With every x = 1 that is the interval of a mean.
///
/// - Parameter pairs: in any order; the order changes no bit of the result.
/// - Returns: nil for fewer than two pairs, if a number is not finite, or an x not above zero.
package func ratioInterval(of pairs: [(y: Double, x: Double)]) -> ClosedRange<Double>? {
  guard pairs.count > 1, pairs.allSatisfy({ $0.y.isFinite && $0.x.isFinite && $0.x > 0 }) else {
    return nil
  }
  let pairs = pairs.sorted { ($0.y, $0.x) < ($1.y, $1.x) }
  let total = pairs.reduce(0) { $0 + $1.y }
  let count = pairs.reduce(0) { $0 + $1.x }
  let ratio = total / count
  let squares = pairs.reduce(0) {
    let residual = $1.y - ratio * $1.x
    return $0 + residual * residual
  }
  let n = Double(pairs.count)
  let reach =
    studentQuantile(degreesOfFreedom: pairs.count - 1) * (n / (n - 1) * squares).squareRoot()
    / count
  return ratio - reach...ratio + reach
}

/// Student's t that 97.5 % stay below: a two-sided 95 %.
///
/// Tabulated up to 30 degrees of freedom, then the expansion of Cornish and Fisher, good to 1e-5.
package func studentQuantile(degreesOfFreedom: Int) -> Double {
  precondition(degreesOfFreedom > 0, "\(degreesOfFreedom) degrees of freedom")
  if degreesOfFreedom <= smallQuantiles.count { return smallQuantiles[degreesOfFreedom - 1] }
  let z = 1.959963984540054
  let n = Double(degreesOfFreedom)
  let z3 = z * z * z
  let z5 = z3 * z * z
  let z7 = z5 * z * z
  return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n)
    + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n)
}

/// By degrees of freedom, from 1 on.
private let smallQuantiles = [
  12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004,
  2.262157, 2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905,
  2.109816, 2.100922, 2.093024, 2.085963, 2.079614, 2.073873, 2.068658, 2.063899,
  2.059539, 2.055529, 2.051831, 2.048407, 2.045230, 2.042272,
]
