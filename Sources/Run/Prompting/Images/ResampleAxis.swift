import Glibc

/// One axis of a resized image: which samples each output takes, with what weights.
///
/// The formulas are Pillow's: a filter widened by the scale when it shrinks (so that it averages),
/// cut at the border, normalised to sum 1 and rounded to 22 fractional bits.
struct ResampleAxis {
  /// The samples that any output in the window takes.
  let samples: Range<Int>
  /// First sample of each output, counted from `samples.lowerBound`.
  let first: [Int32]
  /// Weights per output, a multiple of 8; unused ones are 0.
  let taps: Int
  /// `[outputs, taps]`: the weight is `65536 * high + low`, in units of 2^-22.
  let high: [Int16]
  let low: [Int16]

  /// - Parameters:
  ///   - sourceCount: samples along the axis of the source.
  ///   - targetCount: outputs along the axis of the whole resized image.
  ///   - window: those that are wanted; not empty.
  init(from sourceCount: Int, to targetCount: Int, window: Range<Int>, kernel: ResampleKernel) {
    let scale = Double(sourceCount) / Double(targetCount)
    let stretch = max(scale, 1)
    let support = kernel.support * stretch
    let taps = (Int(support.rounded(.up)) * 2 + 1 + 7) / 8 * 8

    var starts: [Int] = []
    starts.reserveCapacity(window.count)
    var high = [Int16](repeating: 0, count: window.count * taps)
    var low = high
    var ends = 0
    var weights: [Double] = []
    for (row, output) in window.enumerated() {
      let center = (Double(output) + 0.5) * scale
      let start = max(Int(center - support + 0.5), 0)
      let end = min(Int(center + support + 0.5), sourceCount)
      weights.removeAll(keepingCapacity: true)
      var sum = 0.0
      for sample in start..<end {
        let weight = kernel.weight((Double(sample) - center + 0.5) * (1 / stretch))
        weights.append(weight)
        sum += weight
      }
      for (tap, weight) in weights.enumerated() {
        let share = (sum == 0 ? weight : weight / sum) * Double(1 << 22)
        let fixed = Int32(share < 0 ? share - 0.5 : share + 0.5)
        let lowHalf = Int16(truncatingIfNeeded: fixed)
        low[row * taps + tap] = lowHalf
        high[row * taps + tap] = Int16(truncatingIfNeeded: (fixed &- Int32(lowHalf)) >> 16)
      }
      starts.append(start)
      ends = end
    }
    // Both ends of the outputs' ranges only move up.
    let lowest = starts[0]
    samples = lowest..<ends
    first = starts.map { Int32($0 - lowest) }
    self.taps = taps
    self.high = high
    self.low = low
  }
}

/// A convolution filter of Pillow's, as a function of the distance in (widened) samples.
enum ResampleKernel {
  case bilinear, bicubic, lanczos

  /// Distance from which on the weight is 0.
  var support: Double {
    switch self {
    case .bilinear: 1
    case .bicubic: 2
    case .lanczos: 3
    }
  }

  /// The order of operations matters for the last bit.
  func weight(_ distance: Double) -> Double {
    let x = abs(distance)
    switch self {
    case .bilinear:
      return x < 1 ? 1 - x : 0
    case .bicubic:
      let a = -0.5
      if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
      if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
      return 0
    case .lanczos:
      return distance >= -3 && distance < 3 ? sinc(distance) * sinc(distance / 3) : 0
    }
  }

  private func sinc(_ x: Double) -> Double {
    x == 0 ? 1 : sin(x * .pi) / (x * .pi)
  }
}
