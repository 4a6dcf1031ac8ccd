import Architecture
import TensorCore

/// What the steps around the model of a `tokenizer.json` come to.
struct TokenizerRules: Equatable {
  var kind: TokenizerModel.Kind
  var splitter: TokenizerModel.Splitter = .none
  var flags: TokenizerModel.Flags = []
  /// Ids that the post-processor adds.
  var bosID: Int?
  var eosID: Int?
  /// Whether the space before text is put by the normaliser, so that added tokens that are looked
  /// for in normalised text have it too.
  var normalizerAddsSpace = false
  var normalizerEscapesSpaces = false

  /// The bytes by which an added token is found.
  ///
  /// One that is looked for in normalised text is normalised itself; U+2581 at its front then tells
  /// `Tokenizer` where to look.
  func bytes(ofAdded token: AddedToken, file: String) throws(InputError) -> [UInt8] {
    let isMarked = token.content.unicodeScalars.contains("\u{2581}")
    guard kind != .byteLevel, token.isNormalized, normalizerEscapesSpaces else {
      guard kind == .byteLevel || !isMarked else {
        throw InputError(
          file, "added token '\(printable(token.content))' contains U+2581, which is not supported")
      }
      return Array(token.content.utf8)
    }
    let hasSpace = token.content.unicodeScalars.contains(" ")
    if !normalizerAddsSpace, !hasSpace, !isMarked { return Array(token.content.utf8) }
    guard normalizerAddsSpace, !hasSpace, !isMarked else {
      throw InputError(
        file,
        "added token '\(printable(token.content))' with a space is looked for in normalised "
          + "text, which is not supported")
    }
    return Array("\u{2581}\(token.content)".utf8)
  }
}

extension TokenizerDocument {
  /// Patterns of `Split` that we have a matcher for, by their exact text.
  private static let splitters: [String: TokenizerModel.Splitter] = [
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: .gpt2,
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"#
      + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#: .llama3,
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"#
      + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#: .qwen2,
  ]

  func stepRules(hasByteFallback: Bool) throws(InputError) -> TokenizerRules {
    let cuts = try steps("pre_tokenizer", listed: "pretokenizers")
    let isByteLevel = cuts.contains { $0["type"]?.stringValue == "ByteLevel" }
    var rules = TokenizerRules(kind: isByteLevel ? .byteLevel : .sentencePieceMerges)
    if isByteLevel {
      try readByteLevel(cuts, into: &rules)
    } else {
      try readSentencePiece(cuts, hasByteFallback: hasByteFallback, into: &rules)
    }
    try readPostProcessor(into: &rules)
    return rules
  }

  /// The steps of a stage: none, one, or those of its sequences, flattened.
  private func steps(_ stage: String, listed key: String) throws(InputError) -> [JSONValue] {
    var result: [JSONValue] = []
    // Next last, so that a long list costs no more than its length.
    var rest = json[stage].map { [$0] } ?? []
    while let step = rest.popLast() {
      guard step["type"]?.stringValue == "Sequence" else {
        result.append(step)
        continue
      }
      guard let inner = step[key]?.arrayValue else { throw error("'\(stage).\(key)' is missing") }
      rest += inner.reversed()
    }
    return result
  }

  private func refusal(_ stage: String, _ step: JSONValue, _ detail: String = "") -> InputError {
    let type = step["type"]?.stringValue ?? "unnamed"
    return error(
      "\(stage) '\(printable(type))' is not supported\(detail.isEmpty ? "" : " \(detail)")")
  }

  // Byte level

  private func readByteLevel(
    _ cuts: [JSONValue], into rules: inout TokenizerRules
  ) throws(InputError) {
    for step in try steps("normalizer", listed: "normalizers") {
      guard step["type"]?.stringValue == "NFC" else { throw refusal("normalizer", step) }
      rules.flags.insert(.normalizesNFC)
    }
    var splitter: TokenizerModel.Splitter?
    var cutsDigits = false
    for (index, step) in cuts.enumerated() {
      switch step["type"]?.stringValue {
      case "Split" where splitter == nil && !cutsDigits: splitter = try self.splitter(step)
      case "Digits" where splitter == nil && !cutsDigits:
        guard try flag(step, "individual_digits", "pre_tokenizer") else {
          throw refusal("pre_tokenizer", step, "for whole numbers")
        }
        cutsDigits = true
      case "ByteLevel" where index == cuts.count - 1:
        guard try !flag(step, "add_prefix_space", "pre_tokenizer", standard: true) else {
          throw refusal("pre_tokenizer", step, "with 'add_prefix_space'")
        }
        if try flag(step, "use_regex", "pre_tokenizer", standard: true) {
          guard splitter == nil else { throw refusal("pre_tokenizer", step, "after a 'Split'") }
          splitter = cutsDigits ? .digitsGPT2 : .gpt2
        } else if cutsDigits {
          throw refusal("pre_tokenizer", step, "without 'use_regex' after 'Digits'")
        }
      default: throw refusal("pre_tokenizer", step, "at its place")
      }
    }
    rules.splitter = splitter ?? .none
    let decoders = try steps("decoder", listed: "decoders").map { $0["type"]?.stringValue }
    guard decoders == ["ByteLevel"] else {
      throw error("the decoder is not 'ByteLevel', as a byte-level vocabulary needs")
    }
  }

  private func splitter(_ step: JSONValue) throws(InputError) -> TokenizerModel.Splitter {
    let pattern = step["pattern"]?["Regex"]?.stringValue ?? step["pattern"]?["String"]?.stringValue
    guard let pattern, let splitter = TokenizerDocument.splitters[pattern] else {
      throw refusal(
        "pre_tokenizer", step, "with pattern '\(printable(pattern ?? "none", limit: 300))'")
    }
    // The patterns match all text, so to keep the matches alone is the same as to isolate them.
    let behavior = step["behavior"]?.stringValue
    let isInverted = try flag(step, "invert", "pre_tokenizer")
    guard behavior == "Isolated" && !isInverted || behavior == "Removed" && isInverted else {
      throw refusal("pre_tokenizer", step, "with behavior '\(printable(behavior ?? "none"))'")
    }
    return splitter
  }

  // SentencePiece

  private func readSentencePiece(
    _ cuts: [JSONValue], hasByteFallback: Bool, into rules: inout TokenizerRules
  ) throws(InputError) {
    for step in try steps("normalizer", listed: "normalizers") {
      switch step["type"]?.stringValue {
      case "Prepend" where !rules.normalizerAddsSpace && !rules.normalizerEscapesSpaces:
        guard step["prepend"]?.stringValue == "\u{2581}" else {
          throw refusal("normalizer", step, "with another text than U+2581")
        }
        rules.normalizerAddsSpace = true
        rules.flags.insert(.prefixesSpace)
      case "Replace" where !rules.normalizerEscapesSpaces:
        guard step["pattern"]?["String"]?.stringValue == " ",
          step["content"]?.stringValue == "\u{2581}"
        else { throw refusal("normalizer", step, "but for U+2581 in place of a space") }
        rules.normalizerEscapesSpaces = true
      case "Strip":
        let left = try flag(step, "strip_left", "normalizer")
        let right = try flag(step, "strip_right", "normalizer")
        guard !left, !right else { throw refusal("normalizer", step) }
      default: throw refusal("normalizer", step)
      }
    }
    if let step = cuts.first {
      guard cuts.count == 1, step["type"]?.stringValue == "Metaspace",
        !rules.normalizerEscapesSpaces, !rules.normalizerAddsSpace
      else { throw refusal("pre_tokenizer", step, "in a SentencePiece vocabulary") }
      try readMetaspace(step, into: &rules)
    } else if !rules.normalizerEscapesSpaces {
      throw error("no step writes spaces as U+2581 or bytes as a byte-level alphabet")
    }
    try checkDecoder(hasByteFallback: hasByteFallback, rules)
  }

  private func readMetaspace(
    _ step: JSONValue, into rules: inout TokenizerRules
  ) throws(InputError) {
    guard step["replacement"]?.stringValue == "\u{2581}" else {
      throw refusal("pre_tokenizer", step, "with another text than U+2581")
    }
    guard try !flag(step, "split", "pre_tokenizer", standard: true) else {
      throw refusal("pre_tokenizer", step, "with 'split'")
    }
    let isPrefixed = try flag(step, "add_prefix_space", "pre_tokenizer", standard: true)
    let scheme = step["prepend_scheme"]?.stringValue ?? (isPrefixed ? "always" : "never")
    switch scheme {
    case "always": rules.flags.formUnion([.prefixesSpace, .keepsLeadingSpace])
    case "first": rules.flags.formUnion([.prefixesFirstSpaceOnly, .keepsLeadingSpace])
    case "never": break
    default:
      throw refusal("pre_tokenizer", step, "with prepend_scheme '\(printable(scheme))'")
    }
  }

  /// Decoding must undo what encoding does: U+2581 to spaces, bytes, the first space off.
  private func checkDecoder(
    hasByteFallback: Bool, _ rules: TokenizerRules
  ) throws(InputError) {
    var expected = ["Replace"]
    if hasByteFallback { expected.append("ByteFallback") }
    expected.append("Fuse")
    let prefixes: TokenizerModel.Flags = [.prefixesSpace, .prefixesFirstSpaceOnly]
    if !rules.flags.isDisjoint(with: prefixes) { expected.append("Strip") }
    let decoders = try steps("decoder", listed: "decoders")
    let found = decoders.map { $0["type"]?.stringValue ?? "unnamed" }
    guard found == expected else {
      throw error(
        "the decoder is \(printable(found.joined(separator: ", "))); expected "
          + expected.joined(separator: ", "))
    }
    for step in decoders {
      switch step["type"]?.stringValue {
      case "Replace":
        guard step["pattern"]?["String"]?.stringValue == "\u{2581}",
          step["content"]?.stringValue == " "
        else { throw refusal("decoder", step, "but for a space in place of U+2581") }
      case "Strip":
        guard step["content"]?.stringValue == " ", step["start"]?.integerValue == 1,
          step["stop"]?.integerValue ?? 0 == 0
        else { throw refusal("decoder", step, "but for one space at the start") }
      default: break
      }
    }
  }

  // What is put around a text

  private func readPostProcessor(into rules: inout TokenizerRules) throws(InputError) {
    for step in try steps("post_processor", listed: "processors") {
      switch step["type"]?.stringValue {
      case "ByteLevel": break  // changes offsets only
      case "TemplateProcessing" where rules.bosID == nil && rules.eosID == nil:
        try readTemplate(step, into: &rules)
      default: throw refusal("post_processor", step)
      }
    }
  }

  private func readTemplate(
    _ step: JSONValue, into rules: inout TokenizerRules
  ) throws(InputError) {
    var before: [Int] = []
    var after: [Int] = []
    var hasText = false
    for part in step["single"]?.arrayValue ?? [] {
      if part["Sequence"]?["id"]?.stringValue == "A", !hasText {
        hasText = true
        continue
      }
      guard let name = part["SpecialToken"]?["id"]?.stringValue,
        let ids = step["special_tokens"]?[name]?["ids"]?.arrayValue, ids.count == 1,
        let id = ids[0].integerValue
      else { throw refusal("post_processor", step, "with these parts") }
      if hasText { after.append(id) } else { before.append(id) }
    }
    guard hasText, before.count <= 1, after.count <= 1 else {
      throw refusal("post_processor", step, "but for one token before and after the text")
    }
    if let id = before.first {
      rules.bosID = id
      rules.flags.insert(.addsBOS)
    }
    if let id = after.first {
      rules.eosID = id
      rules.flags.insert(.addsEOS)
    }
  }
}
