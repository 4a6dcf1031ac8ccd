import Architecture
import Checkpoints
import Prompting
import TensorCore
import TestSupport
import Testing

/// Texts with the ids and the decoded text of the library that each tokenizer comes from.
@Suite struct TokenizerFixtureTests {
  private struct Oracle {
    var tokenizer: String
    var cases: [JSONValue]
  }

  private func oracle(_ name: String) throws -> Oracle {
    let path = fixturePath("tokenizers/\(name).cases.json")
    let json = try JSONValue(
      parsing: try fileBytes(at: path, limit: 1 << 22), file: path, limits: .configuration)
    return Oracle(
      tokenizer: try #require(json["tokenizer"]?.stringValue),
      cases: try #require(json["cases"]?.arrayValue))
  }

  private func ids(_ json: JSONValue) -> [Int32] {
    (json["ids"]?.arrayValue ?? []).compactMap(\.integerValue).map { Int32($0) }
  }

  @Test(arguments: ["demo", "llama3", "qwen2", "gpt2"])
  func equalsHuggingFaceTokenizers(name: String) throws {
    let oracle = try oracle(name)
    let folder = try TemporaryFolder()
    try folder.link("tokenizer.json", to: repositoryPath(oracle.tokenizer))
    let (model, _) = try TokenizerFiles.read(folder: folder.path, templateName: "plain")
    let tokenizer = try Tokenizer(model)
    #expect(oracle.cases.count > 200)
    for entry in oracle.cases {
      let text = try #require(entry["text"]?.stringValue)
      let ids = ids(entry)
      #expect(tokenizer.encode(text) == ids, "\(printable(text))")
      let decoded = try #require(entry["decoded"]?.stringValue)
      #expect(
        ExactString(tokenizer.decode(ids, skipsSpecial: false)) == ExactString(decoded),
        "\(printable(text))")
      let plain = try #require(entry["decoded_plain"]?.stringValue)
      #expect(ExactString(tokenizer.decode(ids)) == ExactString(plain), "\(printable(text))")
    }
  }

  @Test(arguments: ["demo-sentencepiece", "small-sentencepiece"])
  func equalsSentencePiece(name: String) throws {
    let oracle = try oracle(name)
    let folder = try TemporaryFolder()
    try folder.link("tokenizer.model", to: repositoryPath(oracle.tokenizer))
    var (model, _) = try TokenizerFiles.read(folder: folder.path)
    #expect(model.kind == .sentencePieceScores)
    // The library takes "<s>" in text for three characters; a checkpoint's tokenizer does not.
    for id in model.pieces.indices where [.control, .unknown].contains(model.pieces[id].kind) {
      model.pieces[id].kind = .unused
    }
    let tokenizer = try Tokenizer(model)
    #expect(oracle.cases.count > 200)
    for entry in oracle.cases {
      let text = try #require(entry["text"]?.stringValue)
      let ids = ids(entry)
      #expect(tokenizer.encode(text, addsSpecialTokens: false) == ids, "\(printable(text))")
      let decoded = try #require(entry["decoded"]?.stringValue)
      #expect(ExactString(tokenizer.decode(ids)) == ExactString(decoded), "\(printable(text))")
    }
  }

  @Test func bothFilesOfTheDemoGiveTheSameIDs() throws {
    let folder = try TemporaryFolder()
    for name in ["tokenizer.model", "tokenizer_config.json", "chat_template.json"] {
      try folder.link(name, to: repositoryPath("tools/demo-llava/model/\(name)"))
    }
    let (scores, _) = try TokenizerFiles.read(folder: folder.path)
    let (merges, template) = try TokenizerFiles.read(
      folder: repositoryPath("tools/demo-llava/model"))
    #expect(scores.pieces.map(\.kind) == merges.pieces.map(\.kind))
    #expect(scores.pieces.map(\.bytes) == merges.pieces.map(\.bytes))
    #expect([scores.bosID, scores.eosID, scores.padID] == [1, 2, 641])
    #expect([merges.bosID, merges.eosID, merges.padID] == [1, 2, 641])
    let first = try Tokenizer(scores)
    let second = try Tokenizer(merges)
    for entry in try oracle("demo").cases {
      let text = try #require(entry["text"]?.stringValue)
      #expect(first.encode(text) == second.encode(text), "\(printable(text))")
    }
    #expect(
      template
        == PromptTemplate(
          name: "vicuna_v1", opening: "A chat between a curious user and an AI assistant. ",
          userStart: "USER: ", image: "<image>\n", userEnd: " ", assistantStart: "ASSISTANT:",
          assistantEnd: " "))
  }
}
