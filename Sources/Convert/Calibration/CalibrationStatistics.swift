package import Architecture
package import SampleSets
package import TensorCore

/// What was measured, sample by sample: a calibration can stop, go on, and be shared out by it.
///
/// Divergences are whole numbers of a fixed unit, and samples have one order whatever order they
/// were measured in, so any split of the samples and any merge give the same bytes.
package struct CalibrationStatistics: Equatable, Sendable {
  /// What must be equal for statistics to belong together.
  package struct Setup: Equatable, Sendable {
    /// Names everything that a divergence depends on beside the samples.
    package var model: String
    /// Names the samples, their questions and answers, and which are held out.
    package var set: String
    /// Samples of the whole set.
    package var sampleCount: Int
    package var layerCount: Int
    package var answerTokens: Int
    package var seed: UInt64
    /// Share of the samples that is held out.
    package var holdout: Double
    /// What was said of the set, and the samples that could not be read.
    package var setWarnings: [String]
    package var setRefused: [RefusedSample]
    /// Whether every sample is compared with the source of the weights too.
    package var comparesSource: Bool

    package init(
      model: String, set: String, sampleCount: Int, layerCount: Int, answerTokens: Int,
      seed: UInt64, holdout: Double, setWarnings: [String], setRefused: [RefusedSample],
      comparesSource: Bool = false
    ) {
      self.model = model
      self.set = set
      self.sampleCount = sampleCount
      self.layerCount = layerCount
      self.answerTokens = answerTokens
      self.seed = seed
      self.holdout = holdout
      self.setWarnings = setWarnings
      self.setRefused = setRefused
      self.comparesSource = comparesSource
    }
  }

  /// A part of the samples: every `count`-th from number `index` on, which starts at 0.
  package struct Shard: Equatable, Sendable {
    package var index: Int
    package var count: Int

    package init(index: Int, count: Int) {
      precondition((0..<count).contains(index), "shard \(index) of \(count)")
      self.index = index
      self.count = count
    }

    /// "2/4", counted from 1; nil if `text` says no shard.
    package init?(_ text: String) {
      let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
      guard parts.count == 2, let number = parts[0], let count = parts[1], count >= 1,
        count <= 1 << 20, (1...count).contains(number)
      else { return nil }
      self.init(index: number - 1, count: count)
    }

    package static let whole = Shard(index: 0, count: 1)

    package var text: String { "\(index + 1)/\(count)" }

    /// The part of `samples`, which are in the order of the set.
    package func part<T>(of samples: [T]) -> [T] {
      stride(from: index, to: samples.count, by: count).map { samples[$0] }
    }
  }

  /// One sample's divergences, and which part of the set it belongs to.
  package struct Measured: Equatable, Sendable {
    package var isHeldOut: Bool
    package var divergence: SampleDivergence

    package init(isHeldOut: Bool, _ divergence: SampleDivergence) {
      self.isHeldOut = isHeldOut
      self.divergence = divergence
    }

    fileprivate var key: String {
      "\(isHeldOut ? 1 : 0)\u{0}\(divergence.task)\u{0}\(divergence.id)"
    }
  }

  package var setup: Setup
  package var shard: Shard
  /// In the order of part, task and id, each by bytes.
  package private(set) var measured: [Measured] = []
  /// Samples that could not be used, by id.
  package private(set) var refused: [RefusedSample] = []

  package init(_ setup: Setup, shard: Shard) {
    self.setup = setup
    self.shard = shard
  }

  /// Takes in samples, which must be new.
  package mutating func add(_ more: [Measured], refused moreRefused: [RefusedSample]) {
    measured += more
    measured.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    refused += moreRefused
    refused.sort { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) }
  }

  /// Takes in what schedules change in samples that are measured; what is known already stays.
  package mutating func add(schedules found: [SampleDivergence]) {
    let byID = Dictionary(found.map { ($0.id, $0) }) { first, _ in first }
    for place in measured.indices {
      guard let more = byID[measured[place].divergence.id] else { continue }
      measured[place].divergence.schedules.merge(more.schedules) { known, _ in known }
      measured[place].divergence.promptRows = more.promptRows
    }
  }

  /// Rows of the prompts of all samples, as far as they are known.
  package var promptRows: PromptRows {
    measured.reduce(into: PromptRows()) { sum, sample in
      if let rows = sample.divergence.promptRows { sum += rows }
    }
  }

  /// Ids of the samples that are done, used or refused.
  package var doneIDs: Set<String> {
    Set(measured.map(\.divergence.id)).union(refused.map(\.id))
  }

  /// The tasks of the samples that choose.
  package var tasks: [String] {
    Set(divergences(heldOut: false).map(\.task)).sorted()
  }

  package var doneCount: Int { measured.count + refused.count }

  /// The divergences of the samples that choose, or of those held out.
  package func divergences(heldOut: Bool) -> [SampleDivergence] {
    measured.filter { $0.isHeldOut == heldOut }.map(\.divergence)
  }

  /// All refused samples with the reason, in order.
  package var refusals: [String] {
    (setup.setRefused + refused).map { "\($0.id): \($0.reason)" }.sorted {
      $0.utf8.lexicographicallyPrecedes($1.utf8)
    }
  }

  // MARK: Belonging together

  /// Why statistics with `other` cannot be joined to these; nil if they can.
  package func mismatch(_ other: Setup) -> String? {
    let differences: [(String, Bool)] = [
      ("another model or other weights", setup.model != other.model),
      ("other answer tokens", setup.answerTokens != other.answerTokens),
      ("another seed", setup.seed != other.seed),
      ("another held-out share", setup.holdout != other.holdout),
      ("another use of --compare-source", setup.comparesSource != other.comparesSource),
      ("another set of samples", setup != other),
    ]
    return differences.first { $0.1 }?.0
  }

  /// The statistics of a whole set from those of its shards, in any order.
  ///
  /// - Parameter parts: with the files that they came from, for messages.
  /// - Throws: `InputError` if they do not belong together, overlap, or leave samples out.
  package init(
    merging parts: [(file: String, statistics: CalibrationStatistics)]
  ) throws(InputError) {
    guard let first = parts.first else { throw InputError("", "there are no statistics to merge") }
    self.init(first.statistics.setup, shard: .whole)
    var owners: [String: String] = [:]
    for (file, part) in parts {
      if let difference = first.statistics.mismatch(part.setup) {
        throw InputError(file, "is of \(difference) than \(printable(first.file))")
      }
      for id in part.doneIDs {
        if let owner = owners.updateValue(file, forKey: id) {
          throw InputError(
            file,
            "has sample \(printable(id)), and so has \(printable(owner)); a sample counts once"
          )
        }
      }
      add(part.measured, refused: part.refused)
    }
    guard doneCount == setup.sampleCount else {
      let shards = parts.map(\.statistics.shard.text).joined(separator: ", ")
      throw InputError(
        parts.map(\.file).joined(separator: ", "),
        "\(doneCount) of \(setup.sampleCount) samples are measured, in shards \(shards); "
          + "the others are missing")
    }
  }
}
