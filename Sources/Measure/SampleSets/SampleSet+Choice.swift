import TensorCore

/// Choices by seed.  They depend on the seed, the tasks' names and the order of the samples alone,
/// and keep that order.
extension SampleSet {
  /// At most `count` samples, spread evenly: no task gives two more than another that has samples
  /// left.  If there are more tasks than samples wanted, the first tasks give one each.
  ///
  /// A smaller choice with the same seed is part of a larger one.
  package func limited(to count: Int, seed: UInt64) -> SampleSet {
    precondition(count >= 0, "\(count) samples wanted")
    let tasks = tasks
    let sizes = taskSizes
    var shares: [String: Int] = [:]
    var left = min(count, samples.count)
    while left > 0 {
      for task in tasks where left > 0 && shares[task, default: 0] < sizes[task, default: 0] {
        shares[task, default: 0] += 1
        left -= 1
      }
    }
    return SampleSet(samples: chosen(shares, seed: seed).map { samples[$0] }, refused: refused)
  }

  /// Two parts of the set, `heldout` with `share` of each task, rounded down.
  ///
  /// So tasks of fewer than 1 / share samples hold nothing out, and whatever the share, at least
  /// one sample of each task stays in `calibration`, which also keeps the refused.
  package func split(
    holdout share: Double, seed: UInt64
  ) -> (calibration: SampleSet, heldout: SampleSet) {
    precondition((0...1).contains(share), "share \(share)")
    let shares = taskSizes.mapValues { size in
      min(Int((Double(size) * share).rounded(.down)), size - 1)
    }
    let heldout = chosen(shares, seed: seed)
    let isHeldOut = Set(heldout)
    return (
      SampleSet(
        samples: samples.indices.filter { !isHeldOut.contains($0) }.map { samples[$0] },
        refused: refused),
      SampleSet(samples: heldout.map { samples[$0] })
    )
  }

  private var taskSizes: [String: Int] {
    samples.reduce(into: [:]) { $0[$1.task, default: 0] += 1 }
  }

  /// Ascending places of `shares[task]` samples of each task.
  private func chosen(_ shares: [String: Int], seed: UInt64) -> [Int] {
    let places = Dictionary(grouping: samples.indices) { samples[$0].task }
    return places.flatMap { task, places in
      // A seed per task, so that another task beside it does not change the choice.
      var random = SplitMix64(seed: seed ^ fingerprint(task))
      return random.shuffled(places).prefix(shares[task, default: 0])
    }.sorted()
  }
}

/// The 64-bit FNV-1a hash of the bytes of `text`.
package func fingerprint(_ text: String) -> UInt64 {
  text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
}

/// A number in hexadecimal digits that changes with every task, id, question, answer and part of
/// `samples`, but not with the pictures.
package func fingerprint(_ samples: [(sample: Sample, isHeldOut: Bool)]) -> String {
  var text = ""
  for (sample, isHeldOut) in samples {
    let fields = [
      sample.task, sample.id, sample.question ?? "", sample.answer.map { "=\($0)" } ?? "",
      "\(sample.isRaw) \(isHeldOut) \(sample.images.count)",
    ]
    for field in fields { text += "\(field.utf8.count):\(field)" }
  }
  return String(fingerprint(text), radix: 16)
}
