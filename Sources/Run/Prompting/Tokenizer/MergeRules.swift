import Architecture
import TensorCore

/// Which neighbours join, and into what: the tables that merging looks things up in.
///
/// A class, so that a `Tokenizer` is cheap to copy and nothing is counted inside the merge loop.
final class MergeRules: Sendable {
  let kind: TokenizerModel.Kind
  /// Pieces that merging may give: all but special, unused and byte pieces.
  let vocabulary: PieceTable
  /// By byte: the fallback piece, or for byte-level models the piece of that byte; -1 if none.
  let bytePieces: [Int32]
  /// (left << 32 | right) -> rank and result; empty for `sentencePieceScores`.
  private let merges: [UInt64: PairMerger.Candidate]
  /// By id, for `sentencePieceScores`: rising where scores fall.
  private let scoreRanks: [UInt32]

  /// `model` has passed `Tokenizer.check`.
  init(
    _ model: TokenizerModel, vocabulary: PieceTable, bytePieces: [Int32]
  ) throws(InputError) {
    kind = model.kind
    self.vocabulary = vocabulary
    self.bytePieces = bytePieces
    var merges: [UInt64: PairMerger.Candidate] = [:]
    merges.reserveCapacity(model.merges.count)
    for (rank, merge) in model.merges.enumerated() {
      let pair = MergeRules.pair(Int32(merge.left), Int32(merge.right))
      let candidate = PairMerger.Candidate(rank: UInt32(rank), id: Int32(merge.result))
      guard merges.updateValue(candidate, forKey: pair) == nil else {
        throw InputError("", "tokenizer: merge \(rank) repeats an earlier one")
      }
    }
    self.merges = merges
    scoreRanks =
      model.kind == .sentencePieceScores
      ? model.pieces.map { MergeRules.rank(ofScore: $0.score) } : []
  }

  /// What two neighbouring symbols of `text` join to.
  func candidate(
    _ left: PairMerger.Symbol, _ right: PairMerger.Symbol, in text: [UInt8]
  ) -> PairMerger.Candidate? {
    if kind == .sentencePieceScores {
      guard let id = vocabulary.id(of: text, left.start..<right.range.upperBound) else {
        return nil
      }
      return PairMerger.Candidate(rank: scoreRanks[Int(id)], id: id)
    }
    return left.id < 0 || right.id < 0 ? nil : merges[MergeRules.pair(left.id, right.id)]
  }

  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// An integer that falls where the score, which is finite, rises.
  private static func rank(ofScore score: Float) -> UInt32 {
    let bits = (score + 0).bitPattern  // + 0: -0 ranks as 0
    return bits >> 31 == 0 ? ~(bits | 1 << 31) : bits
  }
}
