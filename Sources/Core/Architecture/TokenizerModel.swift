/// A BPE tokenizer as values: vocabulary, merges and the rules around them.
package struct TokenizerModel: Equatable, Sendable {
  /// What a piece's bytes stand for, and how merges are ranked.  Raw values are file constants.
  package enum Kind: UInt32, Sendable {
    /// SentencePiece BPE (`tokenizer.model`): pieces are text with U+2581 for a space; of two
    /// neighbours whose union is a piece, the highest score wins, then the leftmost.
    case sentencePieceScores = 1
    /// Byte-level BPE (GPT-2 and later): text is split by `splitter`, each part is merged by rank.
    /// Pieces are the raw bytes, not the printable alphabet of the source.
    case byteLevel = 2
    /// The same vocabulary as 1 in a `tokenizer.json`: merged by the rank of an explicit list.
    case sentencePieceMerges = 3
  }

  /// How text is cut before merging.  Raw values are file constants.
  package enum Splitter: UInt32, CaseIterable, Sendable {
    case none = 0
    case gpt2 = 1
    case llama3 = 2
    case qwen2 = 3
    case digitsGPT2 = 4
  }

  package enum PieceKind: UInt8, Sendable {
    case normal = 1
    case unknown = 2
    /// Special: recognised in prompts, never shown.
    case control = 3
    /// Added by the user: recognised in text before anything else, shown.
    case user = 4
    case unused = 5
    /// One raw byte, the fallback for text outside the vocabulary.
    case byte = 6
  }

  package struct Piece: Equatable, Sendable {
    package var bytes: [UInt8]
    package var kind: PieceKind
    package var score: Float

    package init(bytes: [UInt8], kind: PieceKind, score: Float = 0) {
      self.bytes = bytes
      self.kind = kind
      self.score = score
    }
  }

  /// `left` and `right` become `result`; the place in the list is the rank.
  package struct Merge: Equatable, Sendable {
    package var left: Int
    package var right: Int
    package var result: Int

    package init(left: Int, right: Int, result: Int) {
      self.left = left
      self.right = right
      self.result = result
    }
  }

  /// Rules that are on or off.  Raw values are bits of the file format.
  package struct Flags: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let addsBOS = Flags(rawValue: 1)
    package static let addsEOS = Flags(rawValue: 2)
    /// A space is put before every run of text between special tokens.
    package static let prefixesSpace = Flags(rawValue: 4)
    package static let byteFallback = Flags(rawValue: 8)
    package static let removesExtraSpaces = Flags(rawValue: 16)
    /// The space is put only before the first run of text.
    package static let prefixesFirstSpaceOnly = Flags(rawValue: 32)
    /// A part that is a piece as a whole is taken without merging (Llama 3).
    package static let ignoresMerges = Flags(rawValue: 64)
    /// Text is brought to Unicode normalisation form C first (Qwen 2).
    package static let normalizesNFC = Flags(rawValue: 128)
    /// Special tokens swallow white space on their left (`lstrip`) or right (`rstrip`).
    package static let stripsLeftOfSpecial = Flags(rawValue: 256)
    package static let stripsRightOfSpecial = Flags(rawValue: 512)
    /// No space is put before a run that begins with one (the Metaspace step of Hugging Face).
    package static let keepsLeadingSpace = Flags(rawValue: 1024)
  }

  /// A text and its ids by the source's own tokenizer, to prove a reader.
  package struct TestVector: Equatable, Sendable {
    package var text: String
    package var ids: [Int]

    package init(text: String, ids: [Int]) {
      self.text = text
      self.ids = ids
    }
  }

  package var kind: Kind
  package var splitter: Splitter
  package var flags: Flags
  /// By id.
  package var pieces: [Piece]
  /// By rank; empty for `sentencePieceScores`.
  package var merges: [Merge]
  package var bosID: Int?
  package var eosID: Int?
  package var unknownID: Int?
  package var padID: Int?
  package var tests: [TestVector]

  package init(
    kind: Kind, splitter: Splitter = .none, flags: Flags, pieces: [Piece], merges: [Merge] = [],
    bosID: Int? = nil, eosID: Int? = nil, unknownID: Int? = nil, padID: Int? = nil,
    tests: [TestVector] = []
  ) {
    self.kind = kind
    self.splitter = splitter
    self.flags = flags
    self.pieces = pieces
    self.merges = merges
    self.bosID = bosID
    self.eosID = eosID
    self.unknownID = unknownID
    self.padID = padID
    self.tests = tests
  }
}
