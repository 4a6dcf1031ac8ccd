import Architecture

/// Small vocabularies written out by hand.
enum SmallModel {
  /// SentencePiece by score, as LLaMA's: unknown, BOS, EOS, 256 bytes, then `texts`, the first of
  /// which scores highest.  "_" stands for U+2581.
  static func scores(
    _ texts: [String], flags: TokenizerModel.Flags = [.addsBOS, .prefixesSpace, .byteFallback],
    controls: [String] = []
  ) -> TokenizerModel {
    var pieces = [
      piece("<unk>", .unknown), piece("<s>", .control), piece("</s>", .control),
    ]
    pieces += (UInt8.min...UInt8.max).map { TokenizerModel.Piece(bytes: [$0], kind: .byte) }
    for (rank, text) in texts.enumerated() {
      pieces.append(piece(text, .normal, score: -Float(rank)))
    }
    pieces += controls.map { piece($0, .control) }
    return TokenizerModel(
      kind: .sentencePieceScores, flags: flags, pieces: pieces, bosID: 1, eosID: 2, unknownID: 0)
  }

  /// The id of the first text of `scores`.
  static let firstText = 259

  /// Byte level: a piece per byte, whose id is the byte, then what `merges` join, then `controls`.
  static func byteLevel(
    merges: [(String, String)] = [], splitter: TokenizerModel.Splitter = .none,
    flags: TokenizerModel.Flags = [], controls: [String] = []
  ) -> TokenizerModel {
    var pieces = (UInt8.min...UInt8.max).map {
      TokenizerModel.Piece(bytes: [$0], kind: .normal)
    }
    func id(_ text: String) -> Int {
      pieces.firstIndex { $0.bytes.elementsEqual(text.utf8) } ?? -1
    }
    var list: [TokenizerModel.Merge] = []
    for (left, right) in merges {
      var result = id(left + right)
      if result < 0 {
        result = pieces.count
        pieces.append(piece(left + right, .normal))
      }
      list.append(TokenizerModel.Merge(left: id(left), right: id(right), result: result))
    }
    pieces += controls.map { piece($0, .control) }
    return TokenizerModel(
      kind: .byteLevel, splitter: splitter, flags: flags, pieces: pieces, merges: list)
  }

  static func piece(
    _ text: String, _ kind: TokenizerModel.PieceKind, score: Float = 0
  ) -> TokenizerModel.Piece {
    var spaced = ""
    for scalar in text.unicodeScalars {
      spaced.unicodeScalars.append(scalar == "_" ? "\u{2581}" : scalar)
    }
    return TokenizerModel.Piece(bytes: Array(spaced.utf8), kind: kind, score: score)
  }
}
