import Glibc
import TensorCore

/// One axis of a chart: values to pixels, and what is written beside it.
struct Axis {
  /// Places where a grid line and its label stand.
  let ticks: [(value: Double, label: String)]
  private let low: Double
  private let high: Double
  private let isLogarithmic: Bool

  /// Withdrawal layers `0 ... layerCount`, with at most ten of them written out.
  static func layers(_ layerCount: Int) -> Axis {
    let last = max(layerCount, 1)
    let step = [1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64].first { last / $0 < 10 } ?? (last + 9) / 10
    return Axis(
      ticks: stride(from: 0, through: layerCount, by: step).map { (Double($0), String($0)) },
      low: 0, high: Double(last), isLogarithmic: false)
  }

  /// Shares up to 100 % or what `values` need, down to what they need.
  ///
  /// - Parameter floor: what is below stands at the end.
  static func shares(_ values: [Double], fromZero: Bool, floor: Double = 0) -> Axis {
    let most = min(max(1, values.max() ?? 1), 10)
    let least = fromZero ? 0 : min(1, max(floor, values.min() ?? 0))
    let step =
      most > 2 ? 1.0 : least >= 0.9 ? 0.02 : least >= 0.75 ? 0.05 : least >= 0.5 ? 0.1 : 0.2
    // Far from the next step below, so that 0.9 is not taken for less.
    let first = (least / step + 1e-9).rounded(.down)
    let count = Int((most / step - first - 1e-9).rounded(.up))
    let reachesBelow = !fromZero && values.contains { $0 < first * step - 1e-9 }
    return Axis(
      ticks: (0...max(count, 1)).map {
        let value = (first + Double($0)) * step
        let label = "\(Int((100 * value).rounded())) %"
        return (value, $0 == 0 && reachesBelow ? "≤ \(label)" : label)
      },
      low: first * step, high: (first + Double(max(count, 1))) * step, isLogarithmic: false)
  }

  /// Powers of ten around `values`; six of them at most, and nothing below 1e-6.
  static func powers(_ values: [Double]) -> Axis {
    let positive = values.filter { $0 > 0 }
    let high = min(max(-5, Self.exponent(positive.max() ?? 1, up: true)), 12)
    let low = max(-6, high - 6, min(high - 1, Self.exponent(positive.min() ?? 0.1, up: false)))
    let reachesBelow = values.contains { $0 < Self.power(low) }
    return Axis(
      ticks: (low...high).map { exponent in
        let label =
          switch exponent {
          case 0...3: String(Int(Self.power(exponent)))
          case -3..<0: fixed(Self.power(exponent), -exponent)
          default: "1e\(exponent)"
          }
        return (Self.power(exponent), exponent == low && reachesBelow ? "≤ \(label)" : label)
      },
      low: Double(low), high: Double(high), isLogarithmic: true)
  }

  /// Where `value` lies, 0...1; what is outside stands at the end.
  func place(_ value: Double) -> Double {
    let scaled = isLogarithmic ? (value > 0 ? log10(value) : low) : value
    return min(max((scaled - low) / (high - low), 0), 1)
  }

  /// The power of ten at or beyond `value`.
  private static func exponent(_ value: Double, up: Bool) -> Int {
    let exact = log10(value)
    // 0.01 is its own power, whatever its logarithm's last bit says.
    return Int(up ? (exact - 1e-9).rounded(.up) : (exact + 1e-9).rounded(.down))
  }

  private static func power(_ exponent: Int) -> Double { pow(10, Double(exponent)) }
}
