import Architecture
import Checkpoints
import Prompting
import TensorCore
import TestSupport
import Testing

/// Templates with the prompts that transformers renders from them.
@Suite struct TokenizerTemplateTests {
  private struct Case {
    var name: String
    var json: JSONValue
    var specialTexts: [String: String]
    var addsBOS: Bool

    func template() throws(InputError) -> PromptTemplate {
      try ChatTemplate.read(
        json["template"]?.stringValue ?? "", file: name, specialTexts: specialTexts,
        addsBOS: addsBOS)
    }
  }

  private func cases(refused: Bool) throws -> [Case] {
    let path = fixturePath("templates/cases.json")
    let json = try JSONValue(parsing: try fileBytes(at: path, limit: 1 << 22), file: path)
    return try #require(json.arrayValue).filter { ($0["refused"] != nil) == refused }.map { json in
      Case(
        name: try #require(json["name"]?.stringValue), json: json,
        specialTexts: try #require(json["special_texts"]?.objectValue).members
          .reduce(into: [:]) { $0[$1.key] = $1.value.stringValue },
        addsBOS: json["adds_bos"] == true)
    }
  }

  /// A conversation written out by `template`; answers follow the prompt as the model begins them.
  private func text(_ messages: [JSONValue], _ template: PromptTemplate) -> String {
    var text = template.opening
    for message in messages {
      if let answer = message["answer"]?.stringValue {
        let space = text.unicodeScalars.last.map { !$0.properties.isWhitespace } ?? false
        text += (space ? " " : "") + answer + template.assistantEnd
      } else {
        let images = message["images"]?.integerValue ?? 0
        text +=
          template.userStart + String(repeating: template.image, count: images)
          + template.questionStart + (message["question"]?.stringValue ?? "") + template.userEnd
          + template.assistantStart
      }
    }
    return text
  }

  @Test func conversationsEqualThoseOfJinja() throws {
    let cases = try cases(refused: false)
    #expect(cases.count >= 15)
    for entry in cases {
      let template = try entry.template()
      let bos = entry.addsBOS ? entry.specialTexts["bos_token"] ?? "" : ""
      let conversations = try #require(entry.json["conversations"]?.arrayValue)
      #expect(conversations.count == 10)
      for conversation in conversations {
        let messages = try #require(conversation["messages"]?.arrayValue)
        var prompt = try #require(conversation["prompt"]?.stringValue)
        if prompt.hasPrefix(bos) { prompt.removeFirst(bos.count) }
        var written = text(messages, template)
        if entry.name == "onevision" {
          // It writes another space before answers of the past.
          written.removeAll(where: \.isWhitespace)
          prompt.removeAll(where: \.isWhitespace)
        }
        #expect(written == prompt, "\(entry.name)")
      }
    }
  }

  @Test func firstTurnsEncodeAsHuggingFaceEncodesThePrompt() throws {
    var count = 0
    for entry in try cases(refused: false) {
      guard let path = entry.json["tokenizer"]?.stringValue else { continue }
      let folder = try TemporaryFolder()
      try folder.link("tokenizer.json", to: repositoryPath(path))
      let (model, _) = try TokenizerFiles.read(folder: folder.path, templateName: "plain")
      let imageID = try #require(
        model.pieces.firstIndex { $0.bytes.elementsEqual("<image>".utf8) })
      let encoder = PromptEncoder(
        tokenizer: try Tokenizer(model), template: try entry.template(),
        imageTokenID: Int32(imageID))
      let conversations = try #require(entry.json["conversations"]?.arrayValue)
      let ids = try #require(entry.json["ids"]?.arrayValue)
      for (conversation, ids) in zip(conversations, ids) {
        let messages = try #require(conversation["messages"]?.arrayValue)
        guard messages.count == 1 else { continue }
        let input = try encoder.firstTurn(
          question: try #require(messages[0]["question"]?.stringValue),
          imageCount: messages[0]["images"]?.integerValue ?? 0)
        #expect(input.ids.map(Int.init) == ids.arrayValue?.map(\.integerValue), "\(entry.name)")
        count += 1
      }
    }
    #expect(count >= 45)
  }

  @Test func templatesThatAreMoreThanTextAroundTurnsAreRefused() throws {
    let cases = try cases(refused: true)
    #expect(cases.count >= 10)
    for entry in cases {
      let reason = try #require(entry.json["refused"]?.stringValue)
      do throws(InputError) {
        Issue.record("\(entry.name) became \(try entry.template())")
      } catch {
        let problem = error.problem
        #expect(problem.contains(reason), "\(entry.name): \(problem)")
        #expect(problem.contains("--template (llava_v1, vicuna_v1, chatml"), "\(entry.name)")
      }
    }
  }

  /// Its images stand before a line break that turns without an image have as well, and its answers
  /// of the past begin with other white space than one to come.
  @Test func readsTheTemplateOfOneVision() throws {
    let checkpoint = try Checkpoint(at: fixturePath("models/onevision"))
    #expect(
      checkpoint.template
        == PromptTemplate(
          name: "chatml", opening: "", userStart: "<|im_start|>user ", image: "<image>",
          questionStart: "\n", userEnd: "<|im_end|>", assistantStart: "<|im_start|>assistant\n",
          assistantEnd: "<|im_end|>"))
    let encoder = PromptEncoder(
      tokenizer: try Tokenizer(checkpoint.tokenizer), template: checkpoint.template,
      configuration: checkpoint.configuration)
    for images in 0...2 {
      let marks = String(repeating: "<image>", count: images)
      let text =
        "<|im_start|>user \(marks)\nWhat is this?<|im_end|><|im_start|>assistant\n"
      let turn = try encoder.firstTurn(question: "What is this?", imageCount: images)
      #expect(try turn.ids == encoder.raw(text, imageCount: images).ids)
    }
    #expect(
      throws: InputError(
        "",
        "the prompt has '<video>', which stands for a video: only images are supported")
    ) { try encoder.raw("<image> <video>", imageCount: 1) }
  }

  @Test func partsAreWhereTheyBelong() throws {
    func template(_ name: String) throws -> PromptTemplate {
      try #require(try cases(refused: false).first { $0.name == name }).template()
    }
    #expect(
      try template("vicuna")
        == PromptTemplate(
          name: "vicuna_v1", opening: "", userStart: "USER: ", image: "<image>\n", userEnd: " ",
          assistantStart: "ASSISTANT:", assistantEnd: " "))
    let named = try #require(PromptTemplate.named("chatml"))
    var lines = try template("chatml, lines")
    #expect(lines.opening == "<|im_start|>system\nYou look at pictures.<|im_end|>\n")
    lines.opening = ""
    #expect(lines == named)
    let open = try template("chatml, open end, text")
    #expect(open.opening == "<|im_start|>system\nBe brief<|im_end|>\n")
    #expect(open.userStart == named.userStart)
    #expect(open.assistantEnd == named.assistantEnd)
    #expect(try template("llama-2, text") == PromptTemplate.named("llama-2"))
    #expect(try template("llama-2") == PromptTemplate.named("llama-2"))
    #expect(try template("llama-3") == PromptTemplate.named("llama-3"))
    var longer = try template("llama-3.1, text")
    #expect(longer.opening.hasSuffix("Be helpful.<|eot_id|>"))
    longer.opening = ""
    #expect(longer == PromptTemplate.named("llama-3"))
    #expect(try template("plain").name == "plain")
    #expect(try template("chatml, counted").image == "<|start|><image><|end|>")
  }

  /// Templates whose lists and texts cost far more than their words: each would take minutes, or the
  /// stack, if only words were counted.
  @Test(
    .timeLimit(.minutes(1)),
    arguments: [
      // Two lists that double thirty times and differ at no place.
      (
        "{% set a = [1] %}{% set b = [1] %}"
          + String(repeating: "{% set a = [a, a] %}{% set b = [b, b] %}", count: 30)
          + "{% if a == b %}x{% endif %}", "too many steps"
      ),
      (
        "{% set a = [1] %}{% set b = [1] %}"
          + String(repeating: "{% set a = [a, a] %}{% set b = [b, b] %}", count: 30)
          + "{% if a in [b] %}x{% endif %}", "too many steps"
      ),
      (
        "{% set a = '" + String(repeating: "x", count: 500_000) + "' %}"
          + String(repeating: "{% for i in [1,2,3,4,5,6,7,8,9,10] %}", count: 4)
          + "{% set b = a|upper %}" + String(repeating: "{% endfor %}", count: 4), "too many steps"
      ),
      (
        "{% set a = [] %}" + String(repeating: "{% set a = [a] %}", count: 30_000),
        "too many lists"
      ),
      ("{{ -((0 - 8) * 1048576 * 1048576 * 1048576) }}", "out of range"),
    ])
  func costlyTemplatesAreRefused(_ text: String, _ says: String) {
    let error = #expect(throws: InputError.self) {
      try ChatTemplate.read(text, file: "", specialTexts: [:], addsBOS: false)
    }
    #expect(error?.problem.contains(says) == true, "\(error?.problem ?? "")")
  }

  @Test func hostileTemplatesNeverTrap() throws {
    let texts = try cases(refused: false).compactMap { $0.json["template"]?.stringValue }
    var random = SplitMix64(seed: 31)
    for text in texts {
      let bytes = Array(text.utf8)
      for _ in 0..<60 {
        var changed = bytes
        switch random.next(below: 3) {
        case 0: changed.removeSubrange(random.next(below: bytes.count)...)
        case 1: changed.remove(at: random.next(below: bytes.count))
        default:
          let start = random.next(below: bytes.count)
          changed.insert(
            contentsOf: bytes[start..<min(bytes.count, start + 9)],
            at: random.next(below: bytes.count))
        }
        _ = try? ChatTemplate.read(
          String(decoding: changed, as: UTF8.self), file: "", specialTexts: [:], addsBOS: false)
      }
    }
  }
}
