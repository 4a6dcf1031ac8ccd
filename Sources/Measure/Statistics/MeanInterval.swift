/// What one sample contributes to a mean: the sum of its values and how many they are.
package struct SampleSum: Comparable, Sendable {
  package var sum: Double
  package var count: Int

  package init(sum: Double, count: Int) {
    self.sum = sum
    self.count = count
  }

  package static func < (a: Self, b: Self) -> Bool { (a.sum, a.count) < (b.sum, b.count) }
}

/// Where the true mean of values that are never negative lies with 95 % confidence.
///
/// The values of one sample depend on each other, so samples are the unit: with sums y and counts
/// x of n samples, the mean is R = Σy / Σx, its variance n / (n - 1) · Σ(y - R x)² / (Σx)², and the
/// interval Student's with n - 1 degrees of freedom, cut at zero.
///
/// - Parameter samples: in any order; the order changes no bit of the result.
/// - Returns: nil for fewer than two samples, or if a sum is not finite.
package func meanInterval(of samples: [SampleSum]) -> ClosedRange<Double>? {
  guard samples.count > 1, samples.allSatisfy({ $0.sum.isFinite && $0.count > 0 }) else {
    return nil
  }
  let samples = samples.sorted()
  let total = samples.reduce(0) { $0 + $1.sum }
  let count = Double(samples.reduce(0) { $0 + $1.count })
  let mean = total / count
  let squares = samples.reduce(0) {
    let residual = $1.sum - mean * Double($1.count)
    return $0 + residual * residual
  }
  let n = Double(samples.count)
  let reach =
    studentQuantile(degreesOfFreedom: samples.count - 1) * (n / (n - 1) * squares).squareRoot()
    / count
  return max(0, mean - reach)...(mean + reach)
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
