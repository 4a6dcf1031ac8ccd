/// Steele, Lea and Flood's SplitMix64 (2014): the same seed gives the same numbers everywhere.
///
/// For sampling and tests, never for secrets.  The standard library's `shuffled` and
/// `random(in:using:)` may change their use of a generator between versions; these do not.
package struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number in `0..<bound`, each as likely as the others; `bound` is positive.
  package mutating func next(below bound: Int) -> Int {
    precondition(bound > 0, "no number below \(bound)")
    let bound = UInt64(bound)
    // Numbers under this are refused, which leaves a multiple of `bound` of them.
    let refused = (0 &- bound) % bound
    while true {
      let number = next()
      if number >= refused { return Int(number % bound) }
    }
  }

  /// A number in 0..<1, a multiple of 2⁻²⁴.
  package mutating func nextUnit() -> Float { Float(next() >> 40) * 0x1p-24 }

  /// `items` in a random order (Fisher and Yates).
  package mutating func shuffled<T>(_ items: [T]) -> [T] {
    var items = items
    for last in stride(from: items.count - 1, to: 0, by: -1) {
      items.swapAt(last, next(below: last + 1))
    }
    return items
  }
}
