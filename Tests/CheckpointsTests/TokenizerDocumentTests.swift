import Architecture
import Checkpoints
import Prompting
import TensorCore
import TestSupport
import Testing

@Suite struct TokenizerDocumentTests {
  /// A byte-level document of the pieces "a", "b", "ab" and "Ġ".
  private static let byteLevel = """
    {"added_tokens": [{"id": 4, "content": "<s>", "special": true}],
     "normalizer": null,
     "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
     "post_processor": {"type": "ByteLevel"},
     "decoder": {"type": "ByteLevel"},
     "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
       "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b"]}}
    """

  /// A SentencePiece document of the pieces "a", "▁", "▁a" and a byte.
  private static let sentencePiece = """
    {"added_tokens": [{"id": 0, "content": "<unk>", "special": true},
       {"id": 5, "content": "<x>", "special": false, "normalized": false}],
     "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
       {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
     "pre_tokenizer": null,
     "post_processor": {"type": "TemplateProcessing",
       "single": [{"SpecialToken": {"id": "<x>"}}, {"Sequence": {"id": "A"}}],
       "special_tokens": {"<x>": {"id": "<x>", "ids": [5], "tokens": ["<x>"]}}},
     "decoder": {"type": "Sequence", "decoders": [
       {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
       {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
     "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
       "vocab": {"<unk>": 0, "<0x62>": 1, "a": 2, "▁": 3, "▁a": 4}, "merges": [["▁", "a"]]}}
    """

  private func read(_ text: String, _ changes: [(String, String)] = []) throws -> TokenizerModel {
    let folder = try TemporaryFolder()
    var text = text
    for (old, new) in changes {
      #expect(text.contains(old), "the document has no \(old)")
      text = text.replacing(old, with: new)
    }
    try folder.write(text, to: "tokenizer.json")
    do throws(InputError) {
      let (model, _) = try TokenizerFiles.read(folder: folder.path, templateName: "plain")
      _ = try Tokenizer(model)
      return model
    } catch {
      #expect(error.file.isEmpty || error.file == folder.path("tokenizer.json"))
      throw Problem(text: error.problem)
    }
  }

  /// The text of an error, whatever folder it was in.
  private struct Problem: Error, Equatable { var text: String }

  private func expectRefusal(
    _ text: String, _ change: (String, String), _ problem: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(throws: Problem(text: problem), sourceLocation: sourceLocation) {
      try read(text, [change])
    }
  }

  @Test func readsByteLevelVocabularies() throws {
    let model = try read(Self.byteLevel)
    #expect(model.kind == .byteLevel)
    #expect(model.splitter == .gpt2)
    #expect(model.pieces.map(\.bytes) == ["a", "b", "ab", " ", "<s>"].map { Array($0.utf8) })
    #expect(model.pieces.map(\.kind) == [.normal, .normal, .normal, .normal, .control])
    #expect(model.merges == [TokenizerModel.Merge(left: 0, right: 1, result: 2)])
    #expect(model.flags == [])
  }

  @Test func readsSentencePieceVocabularies() throws {
    let model = try read(Self.sentencePiece)
    #expect(model.kind == .sentencePieceMerges)
    #expect(model.flags == [.prefixesSpace, .byteFallback, .addsBOS])
    #expect(model.pieces.map(\.kind) == [.unknown, .byte, .normal, .normal, .normal, .user])
    #expect(model.pieces[1].bytes == [0x62])
    #expect(model.bosID == 5)
    #expect(model.unknownID == 0)
    #expect(try Tokenizer(model).encode("a ab") == [5, 4, 4, 1])
  }

  @Test func readsTheStepsThatSplitText() throws {
    func splitter(_ step: String) throws -> TokenizerModel.Splitter {
      let old =
        #""pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}"#
      return try read(Self.byteLevel, [(old, "\"pre_tokenizer\": \(step)")]).splitter
    }
    func split(_ pattern: String, _ rest: String) -> String {
      """
      {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\(pattern)"},
        \(rest)}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}
      """
    }
    let isolated = #""behavior": "Isolated", "invert": false"#
    let llama3 =
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"#
      + #" ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"#
    #expect(try splitter(split(llama3, isolated)) == .llama3)
    #expect(
      try splitter(split(llama3, #""behavior": "Removed", "invert": true"#)) == .llama3)
    #expect(
      try splitter(split(llama3.replacing("{1,3}", with: ""), isolated)) == .qwen2)
    let gpt2 =
      #"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"#
    #expect(try splitter(split(gpt2, isolated)) == .gpt2)
    #expect(
      try splitter(
        """
        {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true},
          {"type": "ByteLevel", "add_prefix_space": false}]}
        """) == .digitsGPT2)
    #expect(
      try splitter(#"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}"#)
        == .none)
    #expect(
      throws: Problem(
        text: "pre_tokenizer 'Split' is not supported with pattern '\\d+'")
    ) { try splitter(split(#"\\d+"#, isolated)) }
    #expect(
      throws: Problem(
        text: "pre_tokenizer 'Split' is not supported with behavior 'MergedWithNext'")
    ) { try splitter(split(gpt2, #""behavior": "MergedWithNext", "invert": false"#)) }
  }

  @Test(arguments: [
    ("first", TokenizerModel.Flags.prefixesFirstSpaceOnly), ("always", .prefixesSpace),
  ])
  func readsMetaspace(scheme: String, flag: TokenizerModel.Flags) throws {
    let step = """
      {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "\(scheme)", "split": false}
      """
    let start = try #require(Self.sentencePiece.firstRange(of: "\"normalizer\""))
    let end = try #require(Self.sentencePiece.firstRange(of: "\"post_processor\""))
    let text = Self.sentencePiece.replacingCharacters(
      start.lowerBound..<end.lowerBound, with: "\"normalizer\": null, \"pre_tokenizer\": \(step),\n"
    )
    let model = try read(text)
    #expect(model.flags == [flag, .keepsLeadingSpace, .byteFallback, .addsBOS])
    expectRefusal(
      text, (#""split": false"#, #""split": true"#),
      "pre_tokenizer 'Metaspace' is not supported with 'split'")
  }

  @Test func addedTokensInNormalizedTextNeedTheSpaceBeforeThem() throws {
    let model = try read(
      Self.sentencePiece, [(#""special": false, "normalized": false"#, #""normalized": true"#)])
    #expect(model.pieces[5].bytes == Array("\u{2581}<x>".utf8))
    let tokenizer = try Tokenizer(model)
    #expect(tokenizer.encode("a <x>a", addsSpecialTokens: false) == [4, 5, 2])
    #expect(!tokenizer.encode("a<x>", addsSpecialTokens: false).contains(5))
  }

  @Test func theLastOfRepeatedMergesCounts() throws {
    let model = try read(
      Self.byteLevel,
      [
        (#""ab": 2, "Ġ": 3"#, #""ab": 2, "Ġ": 3, "aa": 5"#),
        (#"["a b"]"#, #"["a b", "a a", "a b"]"#),
      ])
    #expect(model.merges.map(\.result) == [5, 2])
  }

  @Test func idsThatNothingNamesAreUnused() throws {
    let model = try read(Self.byteLevel, [(#""id": 4"#, #""id": 7"#)])
    #expect(model.pieces.count == 8)
    #expect(model.pieces[4...6].allSatisfy { $0.kind == .unused && $0.bytes.isEmpty })
  }

  @Test func configurationHasTheLastWordOnAddedTokens() throws {
    let folder = try TemporaryFolder()
    try folder.write(Self.byteLevel, to: "tokenizer.json")
    try folder.write(
      """
      {"bos_token": {"content": "<s>"}, "eos_token": "ab", "added_tokens_decoder":
        {"4": {"content": "<s>", "special": false}, "5": {"content": "<y>", "special": true}}}
      """, to: "tokenizer_config.json")
    try folder.write(#"{"bos_token": "b", "pad_token": "<y>"}"#, to: "special_tokens_map.json")
    let (model, _) = try TokenizerFiles.read(folder: folder.path, templateName: "plain")
    #expect(model.pieces.map(\.kind) == [.normal, .normal, .control, .normal, .user, .control])
    #expect([model.bosID, model.eosID, model.padID] == [4, 2, 5])
  }

  @Test func unknownStepsAreRefusedByName() {
    let bytes = Self.byteLevel
    let pieces = Self.sentencePiece
    expectRefusal(
      bytes, (#""type": "BPE""#, #""type": "Unigram""#),
      "the tokenizer model is 'Unigram'; only BPE is supported")
    expectRefusal(
      bytes, (#""normalizer": null"#, #""normalizer": {"type": "Lowercase"}"#),
      "normalizer 'Lowercase' is not supported")
    expectRefusal(
      pieces, (#"{"type": "Prepend", "prepend": "▁"}"#, #"{"type": "Precompiled"}"#),
      "normalizer 'Precompiled' is not supported")
    expectRefusal(
      pieces, (#""pre_tokenizer": null"#, #""pre_tokenizer": {"type": "Whitespace"}"#),
      "pre_tokenizer 'Whitespace' is not supported in a SentencePiece vocabulary")
    expectRefusal(
      pieces, (#"{"type": "Prepend", "prepend": "▁"},"#, ""),
      "the decoder is Replace, ByteFallback, Fuse, Strip; expected Replace, ByteFallback, Fuse")
    expectRefusal(
      pieces,
      (
        #""type": "Replace", "pattern": {"String": " "}"#,
        #""type": "Replace", "pattern": {"String": "x"}"#
      ),
      "normalizer 'Replace' is not supported but for U+2581 in place of a space")
    expectRefusal(
      bytes, (#""add_prefix_space": false"#, #""add_prefix_space": true"#),
      "pre_tokenizer 'ByteLevel' is not supported with 'add_prefix_space'")
    expectRefusal(
      bytes, (#""decoder": {"type": "ByteLevel"}"#, #""decoder": null"#),
      "the decoder is not 'ByteLevel', as a byte-level vocabulary needs")
    expectRefusal(
      bytes,
      (
        #""post_processor": {"type": "ByteLevel"}"#,
        #""post_processor": {"type": "BertProcessing"}"#
      ),
      "post_processor 'BertProcessing' is not supported")
    expectRefusal(
      pieces,
      (
        #"{"Sequence": {"id": "A"}}"#,
        #"{"SpecialToken": {"id": "<x>"}}, {"Sequence": {"id": "A"}}"#
      ),
      "post_processor 'TemplateProcessing' is not supported but for one token before and after "
        + "the text")
    expectRefusal(
      bytes, (#""dropout": null"#, #""dropout": 0.1"#),
      "'model.dropout' is 0.1, which makes encoding random")
    expectRefusal(
      pieces, (#""byte_fallback": true"#, #""byte_fallback": true, "end_of_word_suffix": "</w>""#),
      "'model.end_of_word_suffix' is '</w>', which is not supported")
  }

  @Test func malformedVocabulariesAreRefused() {
    let bytes = Self.byteLevel
    expectRefusal(
      bytes, (#""a": 0"#, #""a": "0""#), "'model.vocab' has a string for 'a', not an id")
    expectRefusal(bytes, (#""b": 1"#, #""b": 0"#), "'model.vocab' has id 0 twice")
    expectRefusal(bytes, (#""b": 1"#, #""b": -1"#), "id -1 lies outside 0..<2097152")
    expectRefusal(bytes, (#""id": 4"#, #""id": 99999999"#), "id 99999999 lies outside 0..<2097152")
    expectRefusal(
      bytes, (#""Ġ": 3"#, #""图": 3"#),
      "piece '图' is not written in the alphabet of byte-level vocabularies")
    expectRefusal(
      bytes, (#""id": 4"#, #""id": 1"#), "id 1 is 'b' in the vocabulary, but added as '<s>'")
    expectRefusal(
      bytes, (#"["a b"]"#, #"["a b", "b a"]"#),
      "merge 1 of 'b' and 'a' needs a piece that the vocabulary lacks")
    expectRefusal(bytes, (#"["a b"]"#, #"["a b c"]"#), "merge 0 is not a pair of pieces")
    expectRefusal(bytes, (#"["a b"]"#, "7"), "'model.merges' is missing")
    expectRefusal(
      bytes, (#""special": true"#, #""special": true, "single_word": true"#),
      "added token '<s>' matches whole words only, which is not supported")
    expectRefusal(
      Self.sentencePiece, (#""normalized": false"#, #""normalized": false, "lstrip": true"#),
      "'lstrip' is set for '<x>' but not for all added tokens, which is not supported")
  }

  /// Long lists are walked once; were that quadratic, each would take minutes.
  @Test(.timeLimit(.minutes(1))) func longListsAreRefused() {
    let nothing = #"{"type": "Sequence", "processors": []}"#
    let list = String(repeating: nothing + ",", count: 300_000)
    expectRefusal(
      Self.byteLevel,
      (
        #""post_processor": {"type": "ByteLevel"}"#,
        #""post_processor": {"type": "Sequence", "processors": [\#(list) {"type": "Odd"}]}"#
      ), "post_processor 'Odd' is not supported")
    expectRefusal(
      Self.byteLevel,
      (#"["a b"]"#, "[" + String(repeating: #""a b","#, count: 1 << 20) + #""a b"]"#),
      "'model.merges' has 1048577 entries; at most 1048576 are supported")
    expectRefusal(
      Self.byteLevel,
      (
        #""added_tokens": ["#,
        #""added_tokens": [\#(String(repeating: "0,", count: 1 << 17))"#
      ), "'added_tokens' has 131073 entries; at most 131072 are supported")
  }

  @Test func truncatedDocumentsAreRefused() throws {
    let bytes = Array(Self.byteLevel.utf8)
    let folder = try TemporaryFolder()
    for count in stride(from: 1, to: bytes.count, by: 7) {
      try folder.write(Array(bytes[..<count]), to: "tokenizer.json")
      #expect(throws: InputError.self) { try TokenizerFiles.read(folder: folder.path) }
    }
  }
}

extension String {
  fileprivate func replacingCharacters(_ range: Range<Index>, with text: String) -> String {
    String(self[..<range.lowerBound]) + text + String(self[range.upperBound...])
  }
}
