import Glibc

/// KL(P‖Q) in nats of the distributions that two rows of logits stand for.
///
/// With d = p - q, this is `Σ P·d - log Σexp(p) + log Σexp(q)`: terms and sums in f64, in a fixed
/// order (four interleaved sums), so the same rows always give the same bits.  The result is good
/// to about 1e-15 times the largest logit, and what rounding takes below zero is zero.
///
/// A logit of -∞ is a token of probability 0: it adds nothing to `p`'s side, and the result is +∞
/// where `p` gives a token some probability that `q` gives none.  Rows that are no distribution
/// (empty, a NaN or +∞ among the logits, no finite logit) give NaN.
///
/// - Parameters:
///   - p: logits of P, `[vocabulary]`.
///   - q: logits of Q, as many as `p` has.
package func klDivergence(_ p: Span<Float>, from q: Span<Float>) -> Double {
  precondition(p.count == q.count, "rows of \(p.count) and \(q.count) logits")
  guard let pPeak = finitePeak(p), let qPeak = finitePeak(q) else { return .nan }
  var sums = KLSums()
  let whole = p.count & ~3
  for first in stride(from: 0, to: whole, by: 4) {
    sums.add(
      SIMD4(Double(p[first]), Double(p[first + 1]), Double(p[first + 2]), Double(p[first + 3]))
        - pPeak,
      SIMD4(Double(q[first]), Double(q[first + 1]), Double(q[first + 2]), Double(q[first + 3]))
        - qPeak)
  }
  if whole < p.count {
    // The last row of four is filled with impossible tokens.
    var a = SIMD4(repeating: -Double.infinity)
    var b = a
    for index in whole..<p.count {
      a[index - whole] = Double(p[index]) - pPeak
      b[index - whole] = Double(q[index]) - qPeak
    }
    sums.add(a, b)
  }
  return max(0, sums.weighted.sum() / sums.p.sum() - log(sums.p.sum()) + log(sums.q.sum()))
}

/// Running sums over a vocabulary, four tokens at a time.
private struct KLSums {
  /// Σ exp(a).
  var p = SIMD4<Double>.zero
  /// Σ exp(b).
  var q = SIMD4<Double>.zero
  /// Σ exp(a) (a - b).
  var weighted = SIMD4<Double>.zero

  /// Adds four tokens, whose logits are `a` and `b` below the row's largest.
  @inline(__always)
  mutating func add(_ a: SIMD4<Double>, _ b: SIMD4<Double>) {
    let weight = exponential(nonPositive: a)
    p += weight
    q += exponential(nonPositive: b)
    // -∞ - -∞ is no number, but a token without probability has no part in the sum.
    weighted += (weight * (a - b)).replacing(with: 0, where: weight .== 0)
  }
}

/// The largest logit; nil if there is none, it is not finite, or a NaN is among them.
private func finitePeak(_ row: Span<Float>) -> Double? {
  var peak = -Float.infinity
  var hasNaN = false
  for index in row.indices {
    let value = row[index]
    peak = value > peak ? value : peak
    hasNaN = hasNaN || value != value
  }
  return hasNaN || !peak.isFinite ? nil : Double(peak)
}
