/// How two ways of answering fared on the same questions: right or wrong, question by question.
package struct PairedShares: Equatable, Sendable {
  /// Questions that both got right.
  package var both = 0
  package var onlyThis = 0
  package var onlyReference = 0
  package var neither = 0

  package init(both: Int = 0, onlyThis: Int = 0, onlyReference: Int = 0, neither: Int = 0) {
    self.both = both
    self.onlyThis = onlyThis
    self.onlyReference = onlyReference
    self.neither = neither
  }

  /// Counts one question.
  package mutating func add(this: Bool, reference: Bool) {
    switch (this, reference) {
    case (true, true): both += 1
    case (true, false): onlyThis += 1
    case (false, true): onlyReference += 1
    case (false, false): neither += 1
    }
  }

  package var count: Int { both + onlyThis + onlyReference + neither }
  package var thisCount: Int { both + onlyThis }
  package var referenceCount: Int { both + onlyReference }

  /// This share less the reference's; nil without questions.
  package var difference: Double? {
    count > 0 ? Double(onlyThis - onlyReference) / Double(count) : nil
  }

  /// Where the true difference lies with 95 % confidence: Newcombe's square-and-add interval for
  /// paired proportions (Statistics in Medicine 17, 1998, 2635-2650, method 10).
  ///
  /// With p₁ and p₂ the two shares, [l, u] their Wilson intervals and φ the correlation of the 2 × 2
  /// table, whose numerator loses n / 2 down to no less than zero if it is positive,
  ///
  ///     lower = p₁ - p₂ - √((p₁ - l₁)² - 2φ (p₁ - l₁)(u₂ - p₂) + (u₂ - p₂)²)
  ///     upper = p₁ - p₂ + √((p₂ - l₂)² - 2φ (p₂ - l₂)(u₁ - p₁) + (u₁ - p₁)²)
  ///
  /// - Parameter z: the normal quantile; 1.96 means 95 % confidence.
  /// - Returns: nil without questions.
  package func differenceInterval(z: Double = 1.96) -> ClosedRange<Double>? {
    guard count > 0, let difference else { return nil }
    let this = Double(thisCount) / Double(count)
    let reference = Double(referenceCount) / Double(count)
    let one = wilsonInterval(successes: thisCount, trials: count, z: z)
    let two = wilsonInterval(successes: referenceCount, trials: count, z: z)
    func reach(_ a: Double, _ b: Double) -> Double {
      max(0, a * a - 2 * correlation * a * b + b * b).squareRoot()
    }
    let lower = difference - reach(this - one.lowerBound, two.upperBound - reference)
    let upper = difference + reach(reference - two.lowerBound, one.upperBound - this)
    return max(-1, lower)...min(1, upper)
  }

  /// φ with the correction for continuity; 0 where a margin is empty.
  private var correlation: Double {
    let margins = [thisCount, count - thisCount, referenceCount, count - referenceCount]
    guard !margins.contains(0) else { return 0 }
    let product = Double(both) * Double(neither) - Double(onlyThis) * Double(onlyReference)
    let corrected = product > 0 ? max(0, product - Double(count) / 2) : product
    return corrected / margins.reduce(1) { $0 * Double($1) }.squareRoot()
  }
}
