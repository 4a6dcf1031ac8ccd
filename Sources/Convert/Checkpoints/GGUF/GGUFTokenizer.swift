package import Architecture
package import TensorCore

/// Reads the tokenizer and the chat template of a GGUF file's metadata.
///
/// Two kinds are known: `llama`, SentencePiece BPE with scores, and `gpt2`, byte-level BPE whose
/// way of cutting text is named by `tokenizer.ggml.pre`.
package struct GGUFTokenizer {
  private let metadata: GGUFMetadata

  /// - Parameter templateName: one of `PromptTemplate.names`, instead of the file's template.
  package static func read(
    _ metadata: GGUFMetadata, templateName: String? = nil
  ) throws(InputError) -> (TokenizerModel, PromptTemplate) {
    let reader = GGUFTokenizer(metadata: metadata)
    let model = try reader.model()
    return (model, try reader.template(model, templateName))
  }

  /// What a name in `tokenizer.ggml.pre` stands for.
  private struct Rule {
    let names: [String]
    let splitter: TokenizerModel.Splitter
    var flags: TokenizerModel.Flags = []
  }

  // Names as llama.cpp knows them; BOS is added where its own default says so.
  private static let rules = [
    Rule(
      names: ["llama-bpe", "llama3", "llama-v3"], splitter: .llama3,
      flags: [.addsBOS, .ignoresMerges]),
    // NFC is the tokenizer's own step, which llama.cpp leaves out.
    Rule(names: ["qwen2"], splitter: .qwen2, flags: [.normalizesNFC]),
    Rule(names: ["smollm"], splitter: .digitsGPT2),
    Rule(names: ["gpt-2"], splitter: .gpt2),
  ]

  private func model() throws(InputError) -> TokenizerModel {
    let key = "tokenizer.ggml.model"
    guard let name = try metadata.string(key, atMost: 255) else {
      throw metadata.error(key, "is missing")
    }
    switch name {
    case "llama": return try sentencePieceModel()
    case "gpt2": return try byteLevelModel()
    default:
      throw metadata.error(
        key, "is '\(printable(name, limit: 60))', which is not supported (llama, gpt2 are)")
    }
  }

  private func sentencePieceModel() throws(InputError) -> TokenizerModel {
    var flags: TokenizerModel.Flags = [.addsBOS]
    // As llama.cpp and the tokenizers library write LLaMA's text: a space before every run.
    if try metadata.bool("tokenizer.ggml.add_space_prefix") ?? true {
      flags.insert(.prefixesSpace)
    }
    let texts = try texts()
    let scoreKey = "tokenizer.ggml.scores"
    guard let scores = try metadata.floats(scoreKey, atMost: Limit.pieces) else {
      throw metadata.error(scoreKey, "is missing")
    }
    guard scores.count == texts.count, scores.allSatisfy({ Float($0).isFinite }) else {
      throw metadata.error(
        scoreKey, "has \(scores.count) entries; \(texts.count) finite numbers are expected")
    }
    let kinds = try kinds(count: texts.count)
    var pieces: [TokenizerModel.Piece] = []
    pieces.reserveCapacity(texts.count)
    for (id, text) in texts.enumerated() {
      var bytes = Array(text.utf8)
      if kinds[id] == .byte {
        guard let byte = TokenizerDocument.byte(named: text) else {
          throw error("piece \(id) is a byte, but its text is '\(printable(text))'")
        }
        bytes = [byte]
        flags.insert(.byteFallback)
      }
      pieces.append(piece(bytes, kinds[id], score: Float(scores[id])))
    }
    return try finish(
      TokenizerModel(kind: .sentencePieceScores, flags: flags, pieces: pieces))
  }

  private func byteLevelModel() throws(InputError) -> TokenizerModel {
    let key = "tokenizer.ggml.pre"
    let known = Self.rules.flatMap(\.names).joined(separator: ", ")
    guard let name = try metadata.string(key, atMost: 255) else {
      throw metadata.error(
        key, "is missing, so how text is cut is not known; convert the model again (\(known))")
    }
    guard let rule = Self.rules.first(where: { $0.names.contains(name) }) else {
      throw metadata.error(
        key, "is '\(printable(name, limit: 60))', which is not supported (\(known) are)")
    }
    if try metadata.bool("tokenizer.ggml.add_space_prefix") ?? false {
      throw metadata.error(
        "tokenizer.ggml.add_space_prefix", "is true, which a byte-level tokenizer does not support")
    }
    let texts = try texts()
    let kinds = try kinds(count: texts.count)
    var pieces: [TokenizerModel.Piece] = []
    var ids: [ExactString: Int] = [:]
    pieces.reserveCapacity(texts.count)
    ids.reserveCapacity(texts.count)
    for (id, text) in texts.enumerated() {
      guard let bytes = kinds[id] == .normal ? ByteAlphabet.decode(text) : Array(text.utf8) else {
        throw error(
          "piece \(id) '\(printable(text))' is not written in the alphabet of byte-level "
            + "vocabularies")
      }
      pieces.append(piece(bytes, kinds[id]))
      // A merge may also make a special token.
      if pieces[id].kind != .unused { ids[ExactString(text)] = id }
    }
    return try finish(
      TokenizerModel(
        kind: .byteLevel, splitter: rule.splitter, flags: rule.flags, pieces: pieces,
        merges: try merges(ids)))
  }

  private func error(_ problem: String) -> InputError {
    InputError(metadata.file, "tokenizer: \(problem)")
  }

  /// A piece; one without any text, which fills a gap of some vocabularies, is unused.
  private func piece(
    _ bytes: [UInt8], _ kind: TokenizerModel.PieceKind, score: Float = 0
  ) -> TokenizerModel.Piece {
    TokenizerModel.Piece(bytes: bytes, kind: bytes.isEmpty ? .unused : kind, score: score)
  }

  private func texts() throws(InputError) -> [String] {
    let key = "tokenizer.ggml.tokens"
    guard let texts = try metadata.strings(key, atMost: Limit.pieces), !texts.isEmpty else {
      throw metadata.error(key, "is missing or empty")
    }
    return texts
  }

  private func kinds(count: Int) throws(InputError) -> [TokenizerModel.PieceKind] {
    let key = "tokenizer.ggml.token_type"
    guard let numbers = try metadata.integers(key, atMost: Limit.pieces) else {
      return Array(repeating: .normal, count: count)
    }
    guard numbers.count == count else {
      throw metadata.error(key, "has \(numbers.count) entries; \(count) are expected")
    }
    var kinds: [TokenizerModel.PieceKind] = []
    kinds.reserveCapacity(count)
    for (id, number) in numbers.enumerated() {
      // The numbers are SentencePiece's, as ours are.
      guard let code = UInt8(exactly: number),
        let kind = TokenizerModel.PieceKind(rawValue: code)
      else { throw metadata.error(key, "is \(number) for piece \(id), which is not known") }
      kinds.append(kind)
    }
    return kinds
  }

  /// Merges as "a b".
  private func merges(_ ids: [ExactString: Int]) throws(InputError) -> [TokenizerModel.Merge] {
    let key = "tokenizer.ggml.merges"
    guard let lines = try metadata.strings(key, atMost: Limit.merges) else {
      throw metadata.error(key, "is missing")
    }
    var merges: [TokenizerModel.Merge] = []
    merges.reserveCapacity(lines.count)
    for (rank, line) in lines.enumerated() {
      guard let space = line.utf8.firstIndex(of: UInt8(ascii: " ")) else {
        throw error("merge \(rank) is not a pair of pieces")
      }
      let first = String(line[..<space])
      let second = String(line[line.utf8.index(after: space)...])
      guard !first.isEmpty, !second.isEmpty else {
        throw error("merge \(rank) is not a pair of pieces")
      }
      guard let left = ids[ExactString(first)], let right = ids[ExactString(second)],
        let result = ids[ExactString(first + second)]
      else {
        throw error(
          "merge \(rank) of '\(printable(first))' and '\(printable(second))' needs a piece "
            + "that the vocabulary lacks")
      }
      merges.append(TokenizerModel.Merge(left: left, right: right, result: result))
    }
    return merges.lastOfEachPair
  }

  /// Adds what the metadata says of special ids and of what is put around text.
  private func finish(_ model: TokenizerModel) throws(InputError) -> TokenizerModel {
    var model = model
    let range = 0...model.pieces.count - 1
    func id(_ name: String) throws(InputError) -> Int? {
      let key = "tokenizer.ggml.\(name)_token_id"
      // Some converters write -1, as an unsigned number, for none.
      if case .integer(let number) = metadata[key], number == Int(UInt32.max) || number == -1 {
        return nil
      }
      return try metadata.integer(key, in: range)
    }
    func set(_ flag: TokenizerModel.Flags, _ name: String) throws(InputError) {
      guard let isOn = try metadata.bool("tokenizer.ggml.add_\(name)_token") else { return }
      if isOn { model.flags.insert(flag) } else { model.flags.remove(flag) }
    }
    try set(.addsBOS, "bos")
    try set(.addsEOS, "eos")
    model.bosID = try id("bos")
    model.eosID = try id("eos")
    model.unknownID = try id("unknown")
    model.padID = try id("padding")
    if model.kind == .sentencePieceScores {
      // The ids of LLaMA, which its files need not repeat.
      model.bosID = model.bosID ?? (range.contains(1) ? 1 : nil)
      model.eosID = model.eosID ?? (range.contains(2) ? 2 : nil)
      model.unknownID = model.unknownID ?? 0
    } else if let unknown = model.unknownID, model.pieces[unknown].kind != .unknown {
      // Files name some special token here; a byte-level vocabulary has no unknown text.
      model.unknownID = nil
    }
    return model
  }

  /// Texts that end an answer or a turn in well-known vocabularies, whatever else a file says.
  private static let endTexts = [
    "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>",
  ]

  /// Ids that end an answer: the file's, and those of control tokens with a text that says so.
  package static func endOfTextIDs(
    _ metadata: GGUFMetadata, _ model: TokenizerModel
  ) throws(InputError) -> [Int] {
    var ids: [Int] = model.eosID.map { [$0] } ?? []
    let range = 0...model.pieces.count - 1
    for name in ["eot", "eom"] {
      if let id = try metadata.integer("tokenizer.ggml.\(name)_token_id", in: range) {
        ids.append(id)
      }
    }
    let texts = Set(endTexts.map { Array($0.utf8) })
    for (id, piece) in model.pieces.enumerated()
    where piece.kind == .control && texts.contains(piece.bytes) {
      ids.append(id)
    }
    var seen: Set<Int> = []
    return ids.filter { seen.insert($0).inserted }
  }

  private func template(
    _ model: TokenizerModel, _ name: String?
  ) throws(InputError) -> PromptTemplate {
    var specialTexts: [String: String] = [:]
    for (role, id) in [
      ("bos_token", model.bosID), ("eos_token", model.eosID), ("unk_token", model.unknownID),
      ("pad_token", model.padID),
    ] {
      specialTexts[role] = id.map { String(decoding: model.pieces[$0].bytes, as: UTF8.self) }
    }
    let jinja = try metadata.string("tokenizer.chat_template")
    return try TokenizerFiles.template(
      name, model: model, jinja: jinja.map { (metadata.file, $0) }, specialTexts: specialTexts,
      placeholder: "<image>", source: metadata.file)
  }
}
