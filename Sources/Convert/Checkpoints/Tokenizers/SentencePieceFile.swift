import Architecture
import TensorCore

/// Reads `tokenizer.model`, a SentencePiece model: the message `ModelProto` of
/// `sentencepiece_model.proto`, of which only BPE without a normalisation table is supported.
struct SentencePieceFile {
  private let file: String
  private var pieces: [TokenizerModel.Piece] = []
  // Defaults of the proto file.
  private var modelType: UInt64 = 1
  private var unknownID = 0
  private var bosID = 1
  private var eosID = 2
  private var padID = -1
  private var hasByteFallback = false
  private var putsSpaceBehindWords = false
  private var normalizer = ""
  private var hasNormalizationTable = false
  private var addsDummyPrefix = true
  private var removesExtraSpaces = true
  private var escapesSpaces = true

  /// - Parameter specials: tokens added behind the model's own pieces, and what to put around text.
  static func read(
    _ bytes: [UInt8], file: String, specials: SpecialTokenFiles
  ) throws(InputError) -> TokenizerModel {
    var model = SentencePieceFile(file: file)
    try model.readModel(bytes[...])
    return try model.tokenizer(specials)
  }

  private init(file: String) { self.file = file }

  private func error(_ problem: String) -> InputError { InputError(file, problem) }

  private mutating func readModel(_ bytes: ArraySlice<UInt8>) throws(InputError) {
    var fields = ProtobufFields(bytes, file: file)
    while let (number, value) = try fields.next() {
      switch (number, value) {
      case (1, .bytes(let message)): try readPiece(message)
      case (2, .bytes(let message)): try readTrainer(message)
      case (3, .bytes(let message)): try readNormalizer(message)
      default: break
      }
    }
    guard !pieces.isEmpty else { throw error("not a SentencePiece model: it has no pieces") }
  }

  private mutating func readPiece(_ message: ArraySlice<UInt8>) throws(InputError) {
    var bytes: [UInt8] = []
    var score: Float = 0
    var type: UInt64 = 1
    var fields = ProtobufFields(message, file: file)
    while let (number, value) = try fields.next() {
      switch (number, value) {
      case (1, .bytes(let text)): bytes = Array(text)
      case (2, .fixed32(let bits)): score = Float(bitPattern: bits)
      case (3, .integer(let value)): type = value
      default: break
      }
    }
    let id = pieces.count
    guard id < Limit.pieces else {
      throw error("has more than \(Limit.pieces) pieces")
    }
    guard score.isFinite else { throw error("the score of piece \(id) is not finite") }
    guard let text = String(validating: bytes, as: UTF8.self), !text.isEmpty else {
      throw error("piece \(id) is empty or not UTF-8")
    }
    let kind: TokenizerModel.PieceKind
    switch type {
    case 1: kind = .normal
    case 2: kind = .unknown
    case 3: kind = .control
    case 6:
      guard let byte = TokenizerDocument.byte(named: text) else {
        throw error("piece \(id) is a byte, but its text is '\(printable(text))'")
      }
      kind = .byte
      bytes = [byte]
    case 4, 5:
      throw error(
        "piece \(id) '\(printable(text))' is \(type == 4 ? "user-defined" : "unused"), which is "
          + "not supported; save the tokenizer as tokenizer.json")
    default: throw error("piece \(id) has unknown type \(type)")
    }
    pieces.append(TokenizerModel.Piece(bytes: bytes, kind: kind, score: score))
  }

  private mutating func readTrainer(_ message: ArraySlice<UInt8>) throws(InputError) {
    var fields = ProtobufFields(message, file: file)
    while let (number, value) = try fields.next() {
      guard case .integer(let value) = value else { continue }
      // An id is an int32, negative if there is none.
      let id = Int(Int32(truncatingIfNeeded: value))
      switch number {
      case 3: modelType = value
      case 24: putsSpaceBehindWords = value != 0
      case 35: hasByteFallback = value != 0
      case 40: unknownID = id
      case 41: bosID = id
      case 42: eosID = id
      case 43: padID = id
      default: break
      }
    }
  }

  private mutating func readNormalizer(_ message: ArraySlice<UInt8>) throws(InputError) {
    var fields = ProtobufFields(message, file: file)
    while let (number, value) = try fields.next() {
      switch (number, value) {
      case (1, .bytes(let name)): normalizer = String(decoding: name, as: UTF8.self)
      case (2, .bytes(let table)): hasNormalizationTable = !table.isEmpty
      case (3, .integer(let value)): addsDummyPrefix = value != 0
      case (4, .integer(let value)): removesExtraSpaces = value != 0
      case (5, .integer(let value)): escapesSpaces = value != 0
      default: break
      }
    }
  }

  private func tokenizer(_ specials: SpecialTokenFiles) throws(InputError) -> TokenizerModel {
    guard modelType == 2 else {
      let names = [UInt64(1): "unigram", 3: "word", 4: "char"]
      throw error(
        "the SentencePiece model is of type \(names[modelType] ?? "\(modelType)"); only BPE is "
          + "supported")
    }
    guard !hasNormalizationTable else {
      throw error("normalisation '\(printable(normalizer))' is not supported, only identity")
    }
    guard escapesSpaces, !putsSpaceBehindWords else {
      throw error("spaces are not written as U+2581 before words, which is not supported")
    }
    var pieces = pieces
    for token in specials.added {
      if token.id < self.pieces.count {
        continue  // a flag of a piece that the model has
      }
      guard token.id == pieces.count else {
        throw error(
          "added token '\(printable(token.content))' has id \(token.id), but the vocabulary goes on "
            + "with \(pieces.count)")
      }
      guard !token.stripsLeft, !token.stripsRight else {
        throw error(
          "added token '\(printable(token.content))' takes white space along, which is not "
            + "supported beside a tokenizer.model")
      }
      pieces.append(
        TokenizerModel.Piece(
          bytes: Array(token.content.utf8), kind: token.isSpecial ? .control : .user))
    }
    func id(of role: String, or id: Int, _ name: String) throws(InputError) -> Int? {
      if let text = specials.texts[role],
        let place = pieces.firstIndex(where: {
          $0.kind != .byte && $0.bytes.elementsEqual(text.utf8)
        })
      {
        return place
      }
      guard id < pieces.count else {
        throw error("the \(name) id \(id) lies outside the \(pieces.count) pieces")
      }
      return id < 0 ? nil : id
    }
    var flags: TokenizerModel.Flags = []
    // As LLaMA's tokenizer classes do unless they are told otherwise.
    if specials.addsBOS ?? true { flags.insert(.addsBOS) }
    if specials.addsEOS ?? false { flags.insert(.addsEOS) }
    if hasByteFallback { flags.insert(.byteFallback) }
    if removesExtraSpaces { flags.insert(.removesExtraSpaces) }
    if addsDummyPrefix {
      flags.formUnion(
        specials.isLegacy ? [.prefixesSpace] : [.prefixesFirstSpaceOnly, .keepsLeadingSpace])
    }
    return TokenizerModel(
      kind: .sentencePieceScores, flags: flags, pieces: pieces,
      bosID: try id(of: "bos_token", or: bosID, "BOS"),
      eosID: try id(of: "eos_token", or: eosID, "EOS"),
      unknownID: try id(of: "unk_token", or: unknownID, "unknown"),
      padID: try id(of: "pad_token", or: padID, "padding"))
  }
}
