import Glibc
package import Kernels
package import TensorCore

/// How the next token is chosen.
package struct SamplingOptions: Equatable, Sendable {
  /// 0 is greedy: the most likely token, the first of equals.
  package var temperature: Float = 0
  /// Keep the k most likely; 0 keeps all.
  package var topK = 0
  /// Keep the smallest set of tokens whose probabilities reach this sum.
  package var topP: Float = 1
  /// Keep tokens at least this share as likely as the most likely one.
  package var minP: Float = 0
  /// Divides positive and multiplies negative logits of tokens already in the answer; 1 is off.
  package var repeatPenalty: Float = 1
  package var seed: UInt64 = 0

  package init() {}
}

/// Draws tokens from logits.
package struct Sampler {
  private let options: SamplingOptions
  private var random: SplitMix64
  private var seen: Set<Int> = []

  package init(_ options: SamplingOptions) {
    self.options = options
    random = SplitMix64(seed: options.seed)
  }

  /// The next token.
  ///
  /// - Parameter logits: `[1, vocabularySize]`.
  /// - Throws: `InputError` if no logit is a finite number, which damaged weights cause.
  package mutating func next(_ logits: Rows) throws(InputError) -> Int32 {
    var values = logits.copy()
    if options.repeatPenalty != 1 {
      for token in seen where token < values.count {
        let value = values[token]
        values[token] = value > 0 ? value / options.repeatPenalty : value * options.repeatPenalty
      }
    }
    let token = options.temperature > 0 ? draw(values) : Self.greatest(values)
    guard let token, values[token].isFinite else {
      throw InputError("", "the model's output is not finite; check the file with vtwinfo --verify")
    }
    seen.insert(token)
    return Int32(token)
  }

  /// Index of the greatest value, the first of equals; nil if all are NaN.
  package static func greatest(_ values: [Float]) -> Int? {
    var best: Int?
    for (index, value) in values.enumerated() where !value.isNaN {
      if let place = best, values[place] >= value { continue }
      best = index
    }
    return best
  }

  private mutating func draw(_ values: [Float]) -> Int? {
    // Most likely first; equal logits by id, so that a seed gives the same text everywhere.
    var order = values.indices.filter { values[$0].isFinite }
    order.sort { (values[$0], $1) > (values[$1], $0) }
    guard let first = order.first else { return nil }
    if options.topK > 0 { order.removeLast(max(0, order.count - options.topK)) }
    var weights = order.map {
      exp(Double((values[$0] - values[first]) / options.temperature))
    }
    var total = weights.reduce(0, +)
    var kept = weights.count
    if options.topP < 1 {
      var sum = 0.0
      kept = 0
      while kept < weights.count, kept == 0 || sum < Double(options.topP) * total {
        sum += weights[kept]
        kept += 1
      }
    }
    while kept > 1, weights[kept - 1] < Double(options.minP) * weights[0] { kept -= 1 }
    weights.removeLast(weights.count - kept)
    total = weights.reduce(0, +)
    var rest = Double(random.nextUnit()) * total
    for (place, weight) in weights.enumerated() {
      rest -= weight
      if rest < 0 { return order[place] }
    }
    return order[kept - 1]
  }
}
