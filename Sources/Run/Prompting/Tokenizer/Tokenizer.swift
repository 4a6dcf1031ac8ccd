package import Architecture
package import TensorCore

/// Turns text into ids and back, as the checkpoint's own tokenizer does.
///
/// Text is cut at special tokens, each run between two of them is normalised and, for byte-level
/// vocabularies, split into words; then pieces are merged:
///
///     text ─specials─▶ runs ─NormalizedText─▶ bytes ─TextSplitter─▶ parts ─PairMerger─▶ ids
///
/// Everything works on bytes: Swift's string comparison would take canonically equivalent pieces
/// for equal.  No input traps.
package struct Tokenizer: Sendable {
  /// An id and where its text ends in the source, in bytes.
  struct Token: Equatable {
    var id: Int32
    var end: Int
  }

  package let model: TokenizerModel
  private let rules: MergeRules
  /// Recognised in the text as it is.
  private var specials: SpecialMatcher
  /// Recognised in normalised text: their bytes begin with U+2581.
  private let normalizedSpecials: SpecialMatcher
  /// A mark outside the vocabulary, after which a new text begins.
  private var separatorID: Int32?

  /// - Throws: `InputError` if `model` contradicts itself: a merge of pieces that do not join to its
  ///   result, equal pieces, an id outside the vocabulary.
  package init(_ model: TokenizerModel) throws(InputError) {
    try Tokenizer.check(model)
    let flags = model.flags
    var vocabulary = PieceTable(capacity: model.pieces.count)
    var bytePieces = Array(repeating: Int32(-1), count: 256)
    var specials = SpecialMatcher(
      stripsLeft: flags.contains(.stripsLeftOfSpecial),
      stripsRight: flags.contains(.stripsRightOfSpecial))
    var normalizedSpecials = SpecialMatcher()
    for (index, piece) in model.pieces.enumerated() {
      let id = Int32(index)
      var twin: Int32?
      switch piece.kind {
      case .normal:
        twin = vocabulary.insert(piece.bytes, id: id)
        if model.kind == .byteLevel, piece.bytes.count == 1 {
          bytePieces[Int(piece.bytes[0])] = id
        }
      case .byte:
        let byte = Int(piece.bytes[0])
        if bytePieces[byte] >= 0 { twin = bytePieces[byte] }
        bytePieces[byte] = id
      case .control, .user, .unknown:
        let isNormalized =
          model.kind == .sentencePieceMerges
          && piece.bytes.starts(with: NormalizedText.space)
        twin =
          isNormalized
          ? normalizedSpecials.insert(piece.bytes, id: id) : specials.insert(piece.bytes, id: id)
      case .unused: break
      }
      if let twin { throw InputError("", "tokenizer: pieces \(twin) and \(index) are equal") }
    }
    self.model = model
    rules = try MergeRules(model, vocabulary: vocabulary, bytePieces: bytePieces)
    self.specials = specials
    self.normalizedSpecials = normalizedSpecials
  }

  /// The ids of `text`, special tokens in it included.
  ///
  /// - Parameter addsSpecialTokens: BOS and EOS are put around it if the model wants them.
  package func encode(_ text: String, addsSpecialTokens: Bool = true) -> [Int32] {
    let flags = addsSpecialTokens ? model.flags : []
    return tokens(
      in: text, addsBOS: flags.contains(.addsBOS), addsEOS: flags.contains(.addsEOS)
    ).map(\.id)
  }

  /// The text of `ids`; ids outside the vocabulary give none.
  ///
  /// - Parameter skipsSpecial: control tokens give no text.
  package func decode(_ ids: some Sequence<Int32>, skipsSpecial: Bool = true) -> String {
    var stream = TextStream(self, skipsSpecial: skipsSpecial)
    var text = ""
    for id in ids { text += stream.append(id) }
    return text + stream.finish()
  }

  /// The piece `id`, or nil if it lies outside the vocabulary.
  package func piece(_ id: Int32) -> TokenizerModel.Piece? {
    model.pieces.indices.contains(Int(id)) ? model.pieces[Int(id)] : nil
  }

  /// A copy that takes `text` for the special token `id`, whatever the vocabulary says of both.
  ///
  /// An id that the vocabulary does not have is no token of the text: what follows it is encoded as
  /// a text of its own, as the original LLaVA does around its image mark.
  func recognizing(_ text: String, as id: Int32) -> Tokenizer {
    var copy = self
    copy.specials.insert(Array(text.utf8), id: id)
    copy.separatorID = piece(id) == nil ? id : nil
    return copy
  }

  /// - Parameter continues: the text goes on behind other text, so no space is put before it.
  func tokens(
    in text: String, addsBOS: Bool = false, addsEOS: Bool = false, continues: Bool = false
  ) -> [Token] {
    let source = Array(text.utf8)
    var tokens: [Token] = []
    var merger = PairMerger()
    if addsBOS, let id = model.bosID { tokens.append(Token(id: Int32(id), end: 0)) }
    var start = 0
    var place = continues ? RunPlace.behindText : .first
    for match in specials.matches(in: source, 0..<source.count) {
      append(source, start..<match.range.lowerBound, place, &tokens, &merger)
      tokens.append(Token(id: match.id, end: match.range.upperBound))
      start = match.range.upperBound
      place = match.id == separatorID ? .first : .behindSpecial
    }
    append(source, start..<source.count, place, &tokens, &merger)
    if addsEOS, let id = model.eosID { tokens.append(Token(id: Int32(id), end: source.count)) }
    return tokens
  }

  /// What a run of text stands behind.
  private enum RunPlace {
    /// Nothing: a text begins here.
    case first
    case behindSpecial
    /// Text that was encoded before.
    case behindText
  }

  /// Appends the tokens of a run without special tokens.
  private func append(
    _ source: [UInt8], _ run: Range<Int>, _ place: RunPlace, _ tokens: inout [Token],
    _ merger: inout PairMerger
  ) {
    if run.isEmpty { return }
    if model.kind == .byteLevel {
      let text = NormalizedText(
        of: source, run, normalizesNFC: model.flags.contains(.normalizesNFC))
      var splitter = TextSplitter(model.splitter)
      for part in splitter.parts(of: text.bytes) { append(text, part, &tokens, &merger) }
      return
    }
    let prefixes =
      switch place {
      case .first: !model.flags.isDisjoint(with: [.prefixesSpace, .prefixesFirstSpaceOnly])
      case .behindSpecial: model.flags.contains(.prefixesSpace)
      case .behindText: false
      }
    let text = NormalizedText(
      escapingSpacesOf: source, run, prefixes: prefixes, flags: model.flags)
    var start = 0
    for match in normalizedSpecials.matches(in: text.bytes, 0..<text.bytes.count) {
      append(text, start..<match.range.lowerBound, &tokens, &merger)
      tokens.append(Token(id: match.id, end: text.sourceEnds[match.range.upperBound - 1]))
      start = match.range.upperBound
    }
    append(text, start..<text.bytes.count, &tokens, &merger)
  }

  /// Merges one part and appends what it becomes.
  private func append(
    _ text: NormalizedText, _ part: Range<Int>, _ tokens: inout [Token],
    _ merger: inout PairMerger
  ) {
    if part.isEmpty { return }
    if model.flags.contains(.ignoresMerges), let id = rules.vocabulary.id(of: text.bytes, part) {
      tokens.append(Token(id: id, end: text.sourceEnds[part.upperBound - 1]))
      return
    }
    merger.clear()
    switch model.kind {
    case .byteLevel:
      for place in part {
        let id = rules.bytePieces[Int(text.bytes[place])]
        // Without a piece for the byte and without an unknown piece, the byte is left out, as
        // Hugging Face does.
        if id >= 0 || model.unknownID != nil { merger.append(id: id, start: place, count: 1) }
      }
    case .sentencePieceMerges, .sentencePieceScores:
      var place = part.lowerBound
      while place < part.upperBound {
        let end = min(decodeScalar(text.bytes, at: place).end, part.upperBound)
        if let id = rules.vocabulary.id(of: text.bytes, place..<end) {
          merger.append(id: id, start: place, count: end - place)
        } else if model.kind == .sentencePieceMerges, hasBytePieces(text.bytes[place..<end]) {
          for byte in place..<end {
            merger.append(id: rules.bytePieces[Int(text.bytes[byte])], start: byte, count: 1)
          }
        } else {
          merger.append(id: -1, start: place, count: end - place)
        }
        place = end
      }
    }
    merger.merge(text.bytes, by: rules)
    appendResult(of: merger, text, &tokens)
  }

  /// Appends the merged symbols; parts of text outside the vocabulary become byte pieces, or one
  /// unknown piece for several in a row.
  private func appendResult(
    of merger: PairMerger, _ text: NormalizedText, _ tokens: inout [Token]
  ) {
    var followsUnknown = false
    for symbol in merger.symbols where symbol.count > 0 {
      let end = text.sourceEnds[symbol.range.upperBound - 1]
      let wasUnknown = followsUnknown
      followsUnknown = false
      if symbol.id >= 0 {
        tokens.append(Token(id: symbol.id, end: end))
      } else if hasBytePieces(text.bytes[symbol.range]) {
        for place in symbol.range {
          tokens.append(
            Token(id: rules.bytePieces[Int(text.bytes[place])], end: text.sourceEnds[place]))
        }
      } else if let id = model.unknownID {
        if wasUnknown { tokens.removeLast() }
        tokens.append(Token(id: Int32(id), end: end))
        followsUnknown = true
      }
    }
  }

  private func hasBytePieces(_ bytes: ArraySlice<UInt8>) -> Bool {
    model.flags.contains(.byteFallback) && model.kind != .byteLevel
      && bytes.allSatisfy { rules.bytePieces[Int($0)] >= 0 }
  }
}
