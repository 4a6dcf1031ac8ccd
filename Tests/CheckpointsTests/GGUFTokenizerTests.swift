import Architecture
import Checkpoints
import Prompting
import TensorCore
import TestSupport
import Testing

/// Vocabularies in GGUF files against the libraries that they come from.
@Suite struct GGUFTokenizerTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The texts are too many to keep what they become, so the fixtures have a digest of each.
  private func expectDigests(
    _ tokenizer: Tokenizer, _ path: String, addsSpecialTokens: Bool = true
  ) throws {
    let digests = try HostileTexts.digests(at: path)
    var wrong = 0
    for (place, text) in try HostileTexts.all().enumerated() {
      let ids = tokenizer.encode(text, addsSpecialTokens: addsSpecialTokens)
      guard HostileTexts.digest(ids) != digests[place] else { continue }
      wrong += 1
      if wrong <= 5 { Issue.record("text \(place): '\(printable(text))' is \(ids.prefix(40))") }
    }
    #expect(wrong == 0)
  }

  @Test(arguments: ["llama3", "qwen2", "gpt2", "smollm", "demo"])
  func equalsHuggingFaceTokenizers(_ name: String) throws {
    let file = try GGUFFile(mapping: fixturePath("gguf/tokenizers/\(name).gguf"))
    let (model, _) = try GGUFTokenizer.read(file.metadata, templateName: "plain")
    try expectDigests(
      try Tokenizer(model), fixturePath("gguf/tokenizers/\(name).digests"))
  }

  @Test func equalsSentencePiece() throws {
    let file = try GGUFFile(mapping: fixturePath("gguf/tokenizers/small.gguf"))
    var (model, _) = try GGUFTokenizer.read(file.metadata, templateName: "plain")
    // The library takes "<s>" in text for three characters; a checkpoint's tokenizer does not.
    for id in model.pieces.indices where [.control, .unknown].contains(model.pieces[id].kind) {
      model.pieces[id].kind = .unused
    }
    try expectDigests(
      try Tokenizer(model), fixturePath("gguf/tokenizers/small.digests"),
      addsSpecialTokens: false)
  }

  @Test(.enabled(if: SmolLM2.isThere, SmolLM2.isMissing)) func equalsThemOnARealVocabulary() throws
  {
    let file = try GGUFFile(mapping: SmolLM2.path)
    let (model, template) = try GGUFTokenizer.read(file.metadata)
    #expect(model.pieces.count == 49152 && template.name == "chatml")
    try expectDigests(try Tokenizer(model), fixturePath("gguf/smollm2/texts.digests"))
  }

  /// The error of a tiny model that `change` has spoilt.
  private func problem(_ change: (inout TinyGGUF) -> Void) throws -> String? {
    try TinyGGUF.problem(in: folder, change)
  }

  @Test func refusesTokenizers() throws {
    func gpt2(_ change: (inout TinyGGUF) -> Void) throws -> String? {
      try problem { tiny in
        tiny.set("tokenizer.ggml.model", "gpt2")
        tiny.set("tokenizer.ggml.pre", "smollm")
        tiny.set("tokenizer.ggml.tokens", ["a", "b", "ab", "Ġ", "<|e|>"])
        tiny.set("tokenizer.ggml.token_type", [1, 1, 1, 1, 3] as [Int32])
        tiny.set("tokenizer.ggml.merges", ["a b"])
        tiny.set("tokenizer.chat_template", "{{ messages[0].content }}")
        change(&tiny)
      }
    }
    #expect(
      try gpt2 { $0.set("tokenizer.ggml.pre", "tekken") }?.contains(
        "'tokenizer.ggml.pre' is 'tekken', which is not supported (llama-bpe,") == true)
    #expect(try gpt2 { $0.remove("tokenizer.ggml.pre") }?.contains("is missing") == true)
    #expect(try gpt2 { $0.set("tokenizer.ggml.merges", ["a c"]) }?.contains("merge 0") == true)
    #expect(try gpt2 { $0.set("tokenizer.ggml.merges", ["ab"]) }?.contains("merge 0") == true)
    #expect(
      try gpt2 { $0.set("tokenizer.ggml.tokens", ["a", "b", "ab", " ", "e"]) }?.contains("piece 3")
        == true)
    #expect(
      try gpt2 { $0.remove("tokenizer.chat_template") }?.contains("--template") == true)
    #expect(
      try problem { $0.set("tokenizer.ggml.model", "bert") }
        == "'tokenizer.ggml.model' is 'bert', which is not supported (llama, gpt2 are)")
    #expect(
      try problem { $0.set("tokenizer.ggml.scores", [0] as [Float]) }?.contains("has 1 entries")
        == true)
    #expect(
      try problem { $0.set("tokenizer.ggml.token_type", [2, 3, 3, 6, 9] as [Int32]) }?.contains(
        "is 9 for piece 4") == true)
    #expect(
      try problem { $0.set("tokenizer.ggml.tokens", ["<unk>", "<s>", "</s>", "x", "a"]) }?.contains(
        "piece 3 is a byte") == true)
    #expect(
      try problem { $0.set("tokenizer.ggml.eos_token_id", UInt32(5)) }?.contains("is 5") == true)
    #expect(
      try problem { $0.set("tokenizer.ggml.tokens", ["<unk>", "<s>", "</s>", "<0x0A>", "a", "b"]) }
        != nil)
  }

  @Test func rulesOfNamesWithoutAnId() throws {
    var tiny = TinyGGUF.model
    tiny.set("tokenizer.ggml.bos_token_id", UInt32.max)
    tiny.set("tokenizer.ggml.add_bos_token", false)
    tiny.set("tokenizer.ggml.add_space_prefix", false)
    let found = try Checkpoint(at: try folder.write(tiny.bytes, to: "m.gguf"))
    #expect(found.tokenizer.flags == [.byteFallback])
  }
}
