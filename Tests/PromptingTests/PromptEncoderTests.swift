import Architecture
import Prompting
import TensorCore
import Testing

@Suite struct PromptEncoderTests {
  private let template = PromptTemplate(
    name: "test", opening: "Be kind. ", userStart: "USER: ", image: "<image>\n", userEnd: " ",
    assistantStart: "BOT:", assistantEnd: "</s>")
  /// "_U" joins the end of the opening and the start of the turn.
  private let model = SmallModel.scores(
    ["_U", "_B"] + "_BeOTUSERkind.:whyaW?".map { String($0) }.unique(), controls: ["<image>"])
  private var imageID: Int32 { Int32(model.pieces.count - 1) }

  private func encoder(
    _ template: PromptTemplate? = nil, model: TokenizerModel? = nil
  ) throws -> PromptEncoder {
    PromptEncoder(
      tokenizer: try Tokenizer(model ?? self.model), template: template ?? self.template,
      imageTokenID: imageID)
  }

  @Test func turnEqualsItsWholeText() throws {
    let input = try encoder().firstTurn(question: "why?", imageCount: 2)
    let text = "Be kind. USER: <image>\n<image>\nwhy? BOT:"
    #expect(try input.ids == Tokenizer(model).encode(text))
    #expect(input.imageCount == 2)
    #expect(input.classes.count == input.ids.count)
    for (row, rowClass) in input.classes.enumerated() {
      #expect((input.ids[row] == imageID) == (rowClass == .visual))
      #expect((rowClass == .visual) == input.imageRanges.contains { $0.contains(row) })
    }
    #expect(input.imageRanges.map(\.count) == [1, 1])
    #expect(input.imageRanges[0].upperBound + 2 == input.imageRanges[1].lowerBound)  // "_" "\n"
  }

  @Test func imagesGetTheRowsThatTheyGive() throws {
    let marked = try encoder().raw("ay<image>\nwhy<image>B", imageCount: 2)
    let input = marked.expanded([5, 0])
    let first = marked.imageRanges[0].lowerBound
    let second = marked.imageRanges[1].lowerBound
    #expect(input.imageRanges == [first..<first + 5, second + 4..<second + 4])
    var ids = Array(marked.ids[..<first])
    ids += Array(repeating: imageID, count: 5)
    ids += marked.ids[(first + 1)..<second]
    ids += marked.ids[(second + 1)...]
    #expect(input.ids == ids)
    #expect(input.classes.count == input.ids.count && input.imageCount == 2)
    for (row, rowClass) in input.classes.enumerated() {
      #expect((rowClass == .visual) == (input.ids[row] == imageID))
    }
    #expect(marked.expanded([1, 1]) == marked)
  }

  @Test func whatStandsBeforeTheQuestionComesBehindItsImages() throws {
    var template = template
    template.image = "<image>"
    template.questionStart = "\n"
    let tokenizer = try Tokenizer(model)
    for (count, marks) in [(0, ""), (2, "<image><image>")] {
      let input = try encoder(template).firstTurn(question: "why?", imageCount: count)
      #expect(input.ids == tokenizer.encode("Be kind. USER: \(marks)\nwhy? BOT:"))
    }
  }

  @Test func pieceThatReachesBeyondTheOpeningIsOfTheUser() throws {
    let input = try encoder().firstTurn(question: "why?", imageCount: 0)
    let tokenizer = try Tokenizer(model)
    let joint = try #require(input.ids.firstIndex(of: Int32(SmallModel.firstText)))  // "_U"
    #expect(input.classes[..<joint].allSatisfy { $0 == .system })
    #expect(input.classes[joint...].allSatisfy { $0 == .user })
    #expect(input.ids[0] == 1)  // BOS
    #expect(input.ids[..<joint] == tokenizer.encode("Be kind.")[...])
  }

  /// As the original LLaVA does: what stands between the marks is encoded text by text.
  @Test func markOutsideTheVocabularyBeginsANewText() throws {
    let flags: TokenizerModel.Flags = [.prefixesFirstSpaceOnly]
    let inside = SmallModel.scores(["_", "a", "b"], flags: flags, controls: ["<image>"])
    let outside = SmallModel.scores(["_", "a", "b"], flags: flags)
    func ids(_ model: TokenizerModel, image: Int) throws -> [Int] {
      let encoder = PromptEncoder(
        tokenizer: try Tokenizer(model), template: template, imageTokenID: Int32(image))
      return try encoder.raw("a<image>b</s>a", imageCount: 1).ids.map {
        Int($0) - SmallModel.firstText
      }
    }
    let (space, a, b, end) = (0, 1, 2, 2 - SmallModel.firstText)
    #expect(try ids(inside, image: 262) == [space, a, 3, b, end, a])
    #expect(try ids(outside, image: 300) == [space, a, 41, space, b, end, a])
  }

  @Test func openingOfComposedTextKeepsItsEnd() throws {
    var template = template
    template.opening = "e\u{301}e\u{301}."
    template.userStart = "U"
    let model = SmallModel.byteLevel(flags: .normalizesNFC, controls: ["<image>"])
    let encoder = PromptEncoder(
      tokenizer: try Tokenizer(model), template: template, imageTokenID: 256)
    let input = try encoder.firstTurn(question: "why?", imageCount: 1)
    #expect(input.classes.prefix { $0 == .system }.count == "éé.".utf8.count)
  }

  @Test func nextTurnGoesOnBehindTheAnswer() throws {
    let input = try encoder().nextTurn(question: "why?", imageCount: 1)
    let tokenizer = try Tokenizer(model)
    // "</s>" opens it, so the run behind begins as every run does; no BOS.
    let text = "</s>USER: <image>\nwhy? BOT:"
    #expect(input.ids == tokenizer.encode(text, addsSpecialTokens: false))
    #expect(Set(input.classes) == [.user, .visual])
    var spaced = template
    spaced.assistantEnd = " "
    let second = try encoder(spaced).nextTurn(question: "why?", imageCount: 0)
    // Text that goes on is given no space: " USER" has its own.
    #expect(tokenizer.decode([260] + second.ids) == "B USER: why? BOT:")
    #expect(tokenizer.piece(second.ids[0])?.bytes == Array("\u{2581}U".utf8))
  }

  @Test func answersBeginAsTheModelWouldWriteThem() throws {
    let tokenizer = try Tokenizer(model)
    #expect(
      try encoder().answer("Be") == [Int32(SmallModel.firstText) + 1]
        + tokenizer.encode("Be", addsSpecialTokens: false).suffix(1))
    var lines = template
    lines.assistantStart = "BOT:\n"
    #expect(try encoder(lines).answer("B").map { tokenizer.piece($0)?.bytes } == [[0x42]])
    #expect(try encoder(lines).answer("") == [])
  }

  @Test func placeholderInAQuestionIsRefused() throws {
    let problem = InputError(
      "",
      "the question contains '<image>', which stands for an image: leave it out, or write the "
        + "whole prompt yourself as raw text")
    let encoder = try encoder()
    #expect(throws: problem) { try encoder.firstTurn(question: "a <image> b", imageCount: 1) }
    #expect(throws: problem) { try encoder.nextTurn(question: "<image>", imageCount: 0) }
  }

  @Test func rawTextBeforeTheFirstImageIsOfTheSystem() throws {
    let text = "ay<image>\nwhy<image>"
    let input = try encoder().raw(text, imageCount: 2)
    #expect(try input.ids == Tokenizer(model).encode(text))
    let system = input.classes.prefix { $0 == .system }.count
    #expect(system == input.imageRanges[0].lowerBound)
    #expect(
      input.classes[input.imageRanges[0].upperBound..<input.imageRanges[1].lowerBound]
        .allSatisfy { $0 == .user })
    let plain = try encoder().raw("why", imageCount: 0)
    #expect(plain.classes.allSatisfy { $0 == .user })
    #expect(plain.imageRanges.isEmpty)
  }

  @Test func marksAndImagesMustBeEquallyMany() throws {
    let encoder = try encoder()
    #expect(
      throws: InputError(
        "",
        "the prompt does not say where its 2 images should go: put '<image>' there, once per "
          + "image")
    ) { try encoder.raw("why?", imageCount: 2) }
    #expect(throws: InputError("", "the prompt has 2 marks '<image>', but 1 image was given")) {
      try encoder.raw("<image><image>", imageCount: 1)
    }
    #expect(throws: InputError("", "the prompt has 1 mark '<image>', but 0 images were given")) {
      try encoder.raw("<image>", imageCount: 0)
    }
  }

  @Test func modelsWithoutImagesRefuseThemAndReadTheMarkAsText() throws {
    var model = model
    model.pieces.removeLast()
    let encoder = PromptEncoder(
      tokenizer: try Tokenizer(model), template: template, imageTokenID: nil)
    let problem = InputError("", "this model reads no images")
    #expect(throws: problem) { try encoder.firstTurn(question: "why?", imageCount: 1) }
    #expect(throws: problem) { try encoder.nextTurn(question: "why?", imageCount: 1) }
    #expect(throws: problem) { try encoder.raw("<image>", imageCount: 1) }
    let input = try encoder.raw("<image>", imageCount: 0)
    #expect(input.ids == (try Tokenizer(model).encode("<image>")))
  }

  @Test func placeholderNeedsNoPieceOfItsOwn() throws {
    var bare = model
    bare.pieces.removeLast()
    let input = try encoder(model: bare).firstTurn(question: "why?", imageCount: 1)
    #expect(input == (try encoder().firstTurn(question: "why?", imageCount: 1)))
  }
}

extension [String] {
  /// Without repetitions, in order.
  fileprivate func unique() -> [String] {
    var seen: Set<String> = []
    return filter { seen.insert($0).inserted }
  }
}
