import Architecture
import TensorCore

extension Tokenizer {
  /// What the encoder relies on; equal pieces and merges are found while the tables are made.
  static func check(_ model: TokenizerModel) throws(InputError) {
    func wrong(_ problem: String) -> InputError { InputError("", "tokenizer: \(problem)") }
    let count = model.pieces.count
    guard count > 0 else { throw wrong("it has no pieces") }
    guard count < 1 << 30, model.merges.count < 1 << 30 else {
      throw wrong("\(count) pieces and \(model.merges.count) merges are too many")
    }
    guard model.kind == .byteLevel || model.splitter == .none else {
      throw wrong("only byte-level vocabularies have a splitting rule")
    }
    guard model.kind == .byteLevel || !model.flags.contains(.normalizesNFC) else {
      throw wrong("only byte-level vocabularies can be normalised to NFC")
    }
    guard model.kind != .sentencePieceScores || model.merges.isEmpty else {
      throw wrong("a vocabulary merged by score has a list of merges")
    }
    for (index, piece) in model.pieces.enumerated() {
      guard piece.score.isFinite else { throw wrong("the score of piece \(index) is not finite") }
      guard piece.kind == .unused || !piece.bytes.isEmpty else {
        throw wrong("piece \(index) is empty")
      }
      guard piece.kind != .byte || piece.bytes.count == 1 else {
        throw wrong("byte piece \(index) has \(piece.bytes.count) bytes")
      }
    }
    let ids = [
      ("BOS", model.bosID), ("EOS", model.eosID), ("unknown", model.unknownID),
      ("padding", model.padID),
    ]
    for (name, id) in ids {
      if let id, !(0..<count).contains(id) {
        throw wrong("the \(name) id \(id) lies outside the \(count) pieces")
      }
    }
    for (rank, merge) in model.merges.enumerated() {
      for id in [merge.left, merge.right, merge.result] where !(0..<count).contains(id) {
        throw wrong("merge \(rank) has id \(id), outside the \(count) pieces")
      }
      let left = model.pieces[merge.left].bytes
      let right = model.pieces[merge.right].bytes
      let result = model.pieces[merge.result].bytes
      guard result.count == left.count + right.count, result.starts(with: left),
        result.dropFirst(left.count).elementsEqual(right)
      else {
        throw wrong("merge \(rank) joins \(merge.left) and \(merge.right), but not to its result")
      }
    }
  }
}
