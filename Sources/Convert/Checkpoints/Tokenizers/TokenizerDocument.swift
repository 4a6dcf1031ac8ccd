import Architecture
import TensorCore

/// Reads `tokenizer.json`, the file of the Hugging Face tokenizers library.
///
/// Its pipeline (normalizer, pre_tokenizer, model, post_processor, decoder) is recognised step by
/// step as one of the kinds of `TokenizerModel`; a step that would change ids or text and that no
/// kind has is refused by name.
struct TokenizerDocument {
  let file: String
  let json: JSONValue
  /// Names of special tokens, and flags of added tokens that override the document's own.
  let specials: SpecialTokenFiles

  /// Most ids a vocabulary may span; ids without a piece are filled up.
  private static let idLimit = 1 << 21

  static func read(
    _ json: JSONValue, file: String, specials: SpecialTokenFiles
  ) throws(InputError) -> TokenizerModel {
    try TokenizerDocument(file: file, json: json, specials: specials).model()
  }

  func error(_ problem: String) -> InputError { InputError(file, problem) }

  private func model() throws(InputError) -> TokenizerModel {
    let bpe = try bytePairModel()
    let rules = try stepRules(hasByteFallback: try flag(bpe, "byte_fallback", "model"))
    guard let vocabulary = bpe["vocab"]?.objectValue else {
      throw error("'model.vocab' is missing")
    }
    var flags = rules.flags
    if try flag(bpe, "byte_fallback", "model") { flags.insert(.byteFallback) }
    if try flag(bpe, "ignore_merges", "model") { flags.insert(.ignoresMerges) }

    let added = try addedTokens(vocabulary)
    try insertStripping(added, into: &flags)
    let unknown = bpe["unk_token"]?.stringValue
    let pieces = try pieces(vocabulary, added, rules, unknown: unknown, flags)
    func id(of text: String?) -> Int? {
      text.flatMap { text in
        added.first { ExactString($0.content) == ExactString(text) }?.id
          ?? vocabulary[text]?.integerValue
      }
    }
    let unknownID = id(of: unknown)
    if rules.kind != .byteLevel, !flags.contains(.byteFallback), unknownID != nil,
      try !flag(bpe, "fuse_unk", "model")
    {
      throw error("unknown characters are not joined ('fuse_unk' is false), which is not supported")
    }
    return TokenizerModel(
      kind: rules.kind, splitter: rules.splitter, flags: flags, pieces: pieces,
      merges: try merges(bpe["merges"], vocabulary),
      bosID: rules.bosID ?? id(of: specials.texts["bos_token"]),
      eosID: rules.eosID ?? id(of: specials.texts["eos_token"]), unknownID: unknownID,
      padID: id(of: specials.texts["pad_token"]))
  }

  private func bytePairModel() throws(InputError) -> JSONValue {
    guard let model = json["model"] else { throw error("'model' is missing") }
    // Documents of the first versions name no type.
    let type = model["type"]?.stringValue ?? (model["merges"] == nil ? "unnamed" : "BPE")
    guard type == "BPE" else {
      throw error("the tokenizer model is '\(printable(type))'; only BPE is supported")
    }
    if let dropout = model["dropout"]?.doubleValue, dropout != 0 {
      throw error("'model.dropout' is \(dropout), which makes encoding random")
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let text = model[key]?.stringValue, !text.isEmpty {
        throw error("'model.\(key)' is '\(printable(text))', which is not supported")
      }
    }
    return model
  }

  /// The document's added tokens; tokenizer_config.json has the last word on each, and names the
  /// special tokens that were not listed.
  private func addedTokens(_ vocabulary: JSONObject) throws(InputError) -> [AddedToken] {
    var byID: [Int: AddedToken] = [:]
    let entries = json["added_tokens"]?.arrayValue ?? []
    guard entries.count <= Limit.addedTokens else {
      throw error(
        "'added_tokens' has \(entries.count) entries; at most \(Limit.addedTokens) are supported")
    }
    for entry in entries {
      guard let id = entry["id"]?.integerValue, id >= 0 else {
        throw error("an added token has no id")
      }
      byID[id] = try AddedToken(entry, id: id, file: file)
    }
    for token in specials.added { byID[token.id] = token }
    for role in ["bos_token", "eos_token", "unk_token", "pad_token"] {
      if let text = specials.texts[role], let id = vocabulary[text]?.integerValue,
        byID[id] == nil
      {
        byID[id] = AddedToken(id: id, content: text)
      }
    }
    return byID.values.sorted { $0.id < $1.id }
  }

  /// One flag stands for all added tokens, so they must agree.
  private func insertStripping(
    _ added: [AddedToken], into flags: inout TokenizerModel.Flags
  ) throws(InputError) {
    func all(_ side: String, _ strips: (AddedToken) -> Bool) throws(InputError) -> Bool {
      guard let first = added.first(where: strips) else { return false }
      guard added.allSatisfy(strips) else {
        throw error(
          "'\(side)' is set for '\(printable(first.content))' but not for all added tokens, "
            + "which is not supported")
      }
      return true
    }
    if try all("lstrip", \.stripsLeft) { flags.insert(.stripsLeftOfSpecial) }
    if try all("rstrip", \.stripsRight) { flags.insert(.stripsRightOfSpecial) }
  }

  private func pieces(
    _ vocabulary: JSONObject, _ added: [AddedToken], _ rules: TokenizerRules, unknown: String?,
    _ flags: TokenizerModel.Flags
  ) throws(InputError) -> [TokenizerModel.Piece] {
    let empty = TokenizerModel.Piece(bytes: [], kind: .unused)
    var pieces = Array(repeating: empty, count: vocabulary.members.count + added.count)
    var texts: [Int: String] = [:]
    func set(_ id: Int, _ piece: TokenizerModel.Piece) throws(InputError) {
      guard id >= 0, id < TokenizerDocument.idLimit else {
        throw error("id \(id) lies outside 0..<\(TokenizerDocument.idLimit)")
      }
      while pieces.count <= id { pieces.append(empty) }
      pieces[id] = piece
    }
    let addedIDs = Set(added.map(\.id))
    for (text, value) in vocabulary.members {
      guard let id = value.integerValue else {
        throw error("'model.vocab' has \(value.kind) for '\(printable(text))', not an id")
      }
      guard texts.updateValue(text, forKey: id) == nil else {
        throw error("'model.vocab' has id \(id) twice")
      }
      if addedIDs.contains(id) { continue }
      var kind = TokenizerModel.PieceKind.normal
      var bytes = Array(text.utf8)
      if rules.kind == .byteLevel {
        guard let decoded = ByteAlphabet.decode(text) else {
          throw error(
            "piece '\(printable(text))' is not written in the alphabet of byte-level vocabularies")
        }
        bytes = decoded
      } else if flags.contains(.byteFallback), let byte = TokenizerDocument.byte(named: text) {
        kind = .byte
        bytes = [byte]
      }
      guard !bytes.isEmpty else { throw error("'model.vocab' has an empty piece") }
      try set(id, TokenizerModel.Piece(bytes: bytes, kind: kind))
    }
    for token in added {
      if let text = texts[token.id], ExactString(text) != ExactString(token.content) {
        throw error(
          "id \(token.id) is '\(printable(text))' in the vocabulary, but added as "
            + "'\(printable(token.content))'")
      }
      let isUnknown = unknown.map { ExactString($0) == ExactString(token.content) } ?? false
      let bytes = try rules.bytes(ofAdded: token, file: file)
      try set(
        token.id,
        TokenizerModel.Piece(
          bytes: bytes, kind: isUnknown ? .unknown : token.isSpecial ? .control : .user))
    }
    // Ids at the end that nothing names are padding of the vocabulary.
    while let last = pieces.last, last == empty { pieces.removeLast() }
    return pieces
  }

  /// `<0x0A>` names a byte.
  static func byte(named text: String) -> UInt8? {
    let text = Array(text.utf8)
    guard text.count == 6, text.starts(with: "<0x".utf8), text[5] == UInt8(ascii: ">") else {
      return nil
    }
    return UInt8(String(decoding: text[3..<5], as: UTF8.self), radix: 16)
  }

  /// Merges as "a b" or ["a", "b"]; of a repeated one the last place counts, as in the library.
  private func merges(
    _ list: JSONValue?, _ vocabulary: JSONObject
  ) throws(InputError) -> [TokenizerModel.Merge] {
    guard let list = list?.arrayValue else { throw error("'model.merges' is missing") }
    guard list.count <= Limit.merges else {
      throw error("'model.merges' has \(list.count) entries; at most \(Limit.merges) are supported")
    }
    var merges: [TokenizerModel.Merge] = []
    merges.reserveCapacity(list.count)
    for (rank, entry) in list.enumerated() {
      let halves: [String]
      if let text = entry.stringValue {
        halves = text.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
          .map { String(decoding: $0, as: UTF8.self) }
      } else {
        halves = (entry.arrayValue ?? []).compactMap(\.stringValue)
      }
      guard halves.count == 2 else { throw error("merge \(rank) is not a pair of pieces") }
      guard let left = vocabulary[halves[0]]?.integerValue,
        let right = vocabulary[halves[1]]?.integerValue,
        let result = vocabulary[halves[0] + halves[1]]?.integerValue
      else {
        throw error(
          "merge \(rank) of '\(printable(halves[0]))' and '\(printable(halves[1]))' needs a piece "
            + "that the vocabulary lacks")
      }
      merges.append(TokenizerModel.Merge(left: left, right: right, result: result))
    }
    return merges.lastOfEachPair
  }

  /// A boolean that may be missing; `what` is the object's name.
  func flag(
    _ json: JSONValue, _ key: String, _ what: String, standard: Bool = false
  ) throws(InputError) -> Bool {
    guard let value = json[key] else { return standard }
    guard let flag = value.boolValue else {
      throw error("'\(what).\(key)' is \(value.kind), not a boolean")
    }
    return flag
  }
}
