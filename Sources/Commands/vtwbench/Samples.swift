import CommandSupport
import TensorCore

/// Measurements of one quantity over the rounds of a run.
struct Samples {
  private(set) var values: [Double]

  init(_ values: [Double] = []) { self.values = values }

  mutating func add(_ value: Double) { values.append(value) }

  /// The middle value, 0 without any.
  var median: Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count.isMultiple(of: 2)
      ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
  }

  var least: Double { values.min() ?? 0 }
  var greatest: Double { values.max() ?? 0 }
  /// From the least to the greatest.
  var spread: Double { greatest - least }

  /// Round by round, so that what disturbs a round disturbs both sides.
  static func / (a: Samples, b: Samples) -> Samples {
    Samples(zip(a.values, b.values).map { $0 / $1 })
  }

  static func * (a: Samples, factor: Double) -> Samples { Samples(a.values.map { $0 * factor }) }

  /// `factor` over each value.
  static func / (factor: Double, a: Samples) -> Samples { Samples(a.values.map { factor / $0 }) }
}

extension JSONObject {
  /// Sets `name` to the median and `name_spread` to the spread; null without any value.
  mutating func set(_ name: String, _ samples: Samples, scale: Double = 1, places: Int = 6) {
    let isEmpty = samples.values.isEmpty
    self[name] = isEmpty ? .null : .number(rounded(samples.median * scale, places))
    self[name + "_spread"] = isEmpty ? .null : .number(rounded(samples.spread * scale, places))
  }
}
