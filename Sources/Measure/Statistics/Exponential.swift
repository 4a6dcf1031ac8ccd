/// e to the power of each lane of `x`, none above zero, to a relative error below 5e-16.
///
/// Vectorised, and the same bits everywhere: the platform's `exp` differs with and without fused
/// multiply-add.  Cody and Waite's reduction x = n ln 2 + r with |r| <= ln 2 / 2, then the Taylor
/// polynomial of degree 13, whose remainder is under 5e-18.  Zero below -708, where numbers stop
/// being normal, so for -∞ too.
@inline(__always)
package func exponential(nonPositive x: SIMD4<Double>) -> SIMD4<Double> {
  let isTiny = x .< -708
  let x = x.replacing(with: 0, where: isTiny)
  // Adding 1.5 · 2⁵² rounds to a whole number and leaves it in the low bits.
  let rounder = 0x1.8p52
  let shifted = x * 1.4426950408889634 + rounder
  let n = shifted - rounder
  // ln 2 in two parts: the first ends in so many zero bits that its product with n is exact.
  let r = (x - n * 0x1.62E42FEEp-1) - n * 0x1.A39EF35793C76p-33
  let r2 = r * r
  let r4 = r2 * r2
  let a = pair(1, 1, r) + pair(1 / 2, 1 / 6, r) * r2
  let b = pair(1 / 24, 1 / 120, r) + pair(1 / 720, 1 / 5040, r) * r2
  let c = pair(1 / 40_320, 1 / 362_880, r) + pair(1 / 3_628_800, 1 / 39_916_800, r) * r2
  let d = pair(1 / 479_001_600, 1 / 6_227_020_800, r)
  let series = ((d * r4 + c) * r4 + b) * r4 + a
  let exponent = (unsafe unsafeBitCast(shifted, to: SIMD4<UInt64>.self) &+ 1023) &<< 52
  let power = unsafe unsafeBitCast(exponent, to: SIMD4<Double>.self)
  return (series * power).replacing(with: 0, where: isTiny)
}

/// `constant + slope · r`
@inline(__always)
private func pair(_ constant: Double, _ slope: Double, _ r: SIMD4<Double>) -> SIMD4<Double> {
  SIMD4(repeating: constant) + r * slope
}
