package import TensorCore

extension SplitMix64 {
  /// `count` numbers spread evenly over -1 ..< 1, times `scale`.
  package mutating func floats(_ count: Int, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in (2 * nextUnit() - 1) * scale }
  }

  /// `count` bytes.
  package mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }
}

/// `count` numbers spread evenly over -1 ..< 1, times `scale`; the same for the same seed.
package func randomFloats(_ count: Int, scale: Float = 1, seed: UInt64) -> [Float] {
  var random = SplitMix64(seed: seed)
  return random.floats(count, scale: scale)
}
