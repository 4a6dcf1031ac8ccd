import TensorCore

/// Nats: five decimals, as `vtwinfo --calibration` prints them; "-" where nothing is known.
func nats(_ value: Double?) -> String { value.map { fixed($0, 5) } ?? "-" }

/// A share as "98.1 %"; "-" where nothing is known.
func percent(_ share: Double?, _ places: Int = 1) -> String {
  share.map { fixed(100 * $0, places) + " %" } ?? "-"
}

/// A 95 % interval of nats, or of shares.
func interval(_ range: ClosedRange<Double>?, isShare: Bool = false) -> String {
  guard let range else { return "" }
  let bounds = [range.lowerBound, range.upperBound].map {
    isShare ? fixed(100 * $0, 1) : fixed($0, 5)
  }
  return bounds.joined(separator: " … ")
}

/// "1 sample", "2 samples".
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

/// Half of the values are smaller; of an even number the mean of the middle two.
func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  guard let upper = sorted.isEmpty ? nil : sorted[sorted.count / 2] else { return 0 }
  return sorted.count.isMultiple(of: 2) ? (upper + sorted[sorted.count / 2 - 1]) / 2 : upper
}
