package import Architecture
package import TensorCore

/// Turns a Jinja chat template into a `PromptTemplate`.
///
/// The template is rendered for short conversations of marker texts; what lies between the markers
/// is the template's own.  The result is checked by writing the same conversations out from it: a
/// template that is more than text around turns is refused, never approximated.
package struct ChatTemplate {
  /// Where the template was found, for messages.
  private let file: String
  private let nodes: [JinjaNode]
  private let specialTexts: [String: String]
  private let placeholder: String
  /// BOS where the tokenizer adds it by itself, so that the template's own is left out; else empty.
  private let addedBOS: String

  /// Reads `jinja`.
  ///
  /// - Parameters:
  ///   - specialTexts: "bos_token" and the like, as the template may use them.
  ///   - placeholder: the text that marks an image.
  ///   - addsBOS: whether the tokenizer puts BOS first by itself.
  /// - Throws: `InputError` if it cannot be expressed as a `PromptTemplate`.
  package static func read(
    _ jinja: String, file: String, specialTexts: [String: String], placeholder: String = "<image>",
    addsBOS: Bool
  ) throws(InputError) -> PromptTemplate {
    do throws(JinjaError) {
      let template = ChatTemplate(
        file: file, nodes: try JinjaParser.nodes(of: jinja), specialTexts: specialTexts,
        placeholder: placeholder, addedBOS: addsBOS ? specialTexts["bos_token"] ?? "" : "")
      do throws(JinjaError) {
        return try template.recognized(contentIsList: true)
      } catch {
        // Templates of text models take a message's content as one text, and do not ask what type
        // its parts are.
        do throws(JinjaError) {
          return try template.recognized(contentIsList: false)
        } catch let textError {
          throw JinjaFunctions.contains(jinja, "type") ? error : textError
        }
      }
    } catch {
      throw InputError(
        file,
        "the chat template is not one we can express: \(printable(error.problem)); choose "
          + "one with --template (\(PromptTemplate.names.joined(separator: ", ")))")
    }
  }

  /// A user turn, or an answer if `images` is nil.
  private struct Message {
    var images: Int?
    var text: String
  }

  // Unlikely in any template, and nothing that trimming or changing case would hit in templates.
  private static let first = Message(images: 0, text: "qvx1question")
  private static let answer = Message(images: nil, text: "qvx2answer")
  private static let second = Message(images: 0, text: "qvx3question")
  private static let later = [
    Message(images: nil, text: "qvx4answer"), Message(images: 0, text: "qvx5question"),
  ]

  private func recognized(contentIsList: Bool) throws(JinjaError) -> PromptTemplate {
    let first = ChatTemplate.first
    let answer = ChatTemplate.answer
    let second = ChatTemplate.second
    func split(_ messages: [Message], prompts: Bool = true) throws(JinjaError) -> [String] {
      try ChatTemplate.split(
        try render(messages, prompts: prompts, contentIsList: contentIsList),
        at: messages.map(\.text))
    }
    let prompt = try split([first])
    let turn = try split([first], prompts: false)
    let conversation = try split([first, answer, second])
    let ended = try split([first, answer], prompts: false)

    var result = PromptTemplate(
      name: "custom", opening: "", userStart: "", image: "", userEnd: "", assistantStart: "",
      assistantEnd: "", imagePlaceholder: placeholder)
    // A template that ends turns only where another follows has no end here; it is then part of
    // `assistantStart`, which gives the same prompts.
    result.userEnd = ChatTemplate.dropping(prefix: turn[1], of: prompt[1]) == nil ? "" : turn[1]
    result.assistantStart = String(
      prompt[1].unicodeScalars.dropFirst(
        result.userEnd.unicodeScalars.count))

    let between = conversation[2]
    if !ended[2].isEmpty, let start = ChatTemplate.dropping(prefix: ended[2], of: between),
      let opening = ChatTemplate.dropping(suffix: start, of: prompt[0])
    {
      (result.opening, result.userStart, result.assistantEnd) = (opening, start, ended[2])
    } else {
      let start = ChatTemplate.turnStart(
        commonTo: prompt[0], between, end: specialTexts["eos_token"] ?? "")
      result.userStart = start
      result.opening = ChatTemplate.dropping(suffix: start, of: prompt[0]) ?? ""
      result.assistantEnd = ChatTemplate.dropping(suffix: start, of: between) ?? ""
    }
    try readImage(into: &result, prompt: prompt, contentIsList: contentIsList)
    result.name = ChatTemplate.name(of: result, bos: specialTexts["bos_token"] ?? "")

    // What the template writes before an answer of the past is up to the model in ours, and white
    // space stays as it was when the answer began.
    let past = conversation[1]
    let toCome = result.userEnd + result.assistantStart
    guard
      ChatTemplate.dropping(prefix: toCome, of: past) != nil
        || ChatTemplate.words(of: past) == ChatTemplate.words(of: toCome)
    else { throw JinjaError("it begins an answer of the past unlike one to come") }
    try check(result, [first], past: past, contentIsList)
    try check(result, [first, answer, second], past: past, contentIsList)
    try check(result, [first, answer, second] + ChatTemplate.later, past: past, contentIsList)
    if contentIsList {
      for images in 1...2 {
        let question = Message(images: images, text: first.text)
        try check(result, [question], past: past, contentIsList)
        try check(result, [question, answer, second], past: past, contentIsList)
        let later = Message(images: images, text: second.text)
        try check(result, [first, answer, later], past: past, contentIsList)
      }
    }
    return result
  }

  /// What one image adds before the question.  A template of a text model does not say; its images
  /// are written as the original LLaVA writes them.
  private func readImage(
    into result: inout PromptTemplate, prompt: [String], contentIsList: Bool
  ) throws(JinjaError) {
    guard contentIsList else {
      result.image = placeholder + "\n"
      return
    }
    let question = Message(images: 1, text: ChatTemplate.first.text)
    let withImage = try ChatTemplate.split(
      try render([question], prompts: true, contentIsList: true), at: [question.text])
    if let image = ChatTemplate.dropping(prefix: prompt[0], of: withImage[0]) {
      result.image = image
    } else {
      // The image stands before text that a turn without one has as well.
      let around = try ChatTemplate.split(withImage[0], at: [placeholder])
      result.questionStart = ChatTemplate.commonEnd(around[1], prompt[0])
      if let start = ChatTemplate.dropping(suffix: result.questionStart, of: result.userStart),
        let before = ChatTemplate.dropping(suffix: result.questionStart, of: prompt[0]),
        let image = ChatTemplate.dropping(prefix: before, of: withImage[0])
      {
        result.userStart = start
        result.image = ChatTemplate.dropping(suffix: result.questionStart, of: image) ?? ""
      }
    }
    guard withImage[1] == prompt[1],
      try ChatTemplate.split(result.image, at: [placeholder]).count == 2
    else { throw JinjaError("images do not stand as one '\(placeholder)' before the question") }
  }

  /// Renders `messages`, less the BOS that the tokenizer adds.
  private func render(
    _ messages: [Message], prompts: Bool, contentIsList: Bool
  ) throws(JinjaError) -> String {
    var variables: [String: JinjaValue] = specialTexts.mapValues { .string($0) }
    variables["tools"] = JinjaValue.none
    variables["documents"] = JinjaValue.none
    variables["add_generation_prompt"] = .bool(prompts)
    variables["messages"] = .list(
      messages.map { message in
        var content = JinjaValue.string(message.text)
        if contentIsList {
          let image = JinjaValue.dictionary(["type": .string("image")])
          let text = JinjaValue.dictionary(["type": .string("text"), "text": content])
          content = .list(Array(repeating: image, count: message.images ?? 0) + [text])
        }
        let role = message.images == nil ? "assistant" : "user"
        return .dictionary(["role": .string(role), "content": content])
      })
    let text = try JinjaRenderer.render(nodes, variables)
    return ChatTemplate.dropping(prefix: addedBOS, of: text) ?? text
  }

  /// Compares what the Jinja text and `result` make of `messages`.
  ///
  /// - Parameter past: what stands between a question and an answer of the past.
  private func check(
    _ result: PromptTemplate, _ messages: [Message], past: String, _ contentIsList: Bool
  ) throws(JinjaError) {
    var text = result.opening
    for (place, message) in messages.enumerated() {
      if let images = message.images {
        text +=
          result.userStart + String(repeating: result.image, count: images)
          + result.questionStart + message.text
        text += place + 1 < messages.count ? past : result.userEnd + result.assistantStart
      } else {
        text += message.text + result.assistantEnd
      }
    }
    let expected = try render(messages, prompts: true, contentIsList: contentIsList)
    guard ExactString(text) == ExactString(expected) else {
      throw JinjaError("its text is not the same around every turn")
    }
  }

  /// The text that begins a user turn, from what comes before the first and before the second one.
  ///
  /// White space at its front and everything up to an end mark belongs to what came before.
  private static func turnStart(
    commonTo first: String, _ second: String, end: String
  ) -> String {
    let a = Array(first.unicodeScalars)
    let b = Array(second.unicodeScalars)
    var count = 0
    while count < min(a.count, b.count), a[a.count - 1 - count] == b[b.count - 1 - count] {
      count += 1
    }
    var start = a.suffix(count)
    let end = Array(end.unicodeScalars)
    if !end.isEmpty, start.count >= end.count {
      let places = start.startIndex...start.endIndex - end.count
      if let place = places.last(where: { start[$0...].starts(with: end) }) {
        start = start[(place + end.count)...]
      }
    }
    start = start.drop { $0.properties.isWhitespace }
    var text = ""
    text.unicodeScalars.append(contentsOf: start)
    return text
  }

  /// The longest text that both end with.
  private static func commonEnd(_ a: String, _ b: String) -> String {
    let pairs = zip(a.unicodeScalars.reversed(), b.unicodeScalars.reversed())
    var text = ""
    text.unicodeScalars.append(
      contentsOf: a.unicodeScalars.suffix(pairs.prefix { $0 == $1 }.count))
    return text
  }

  /// `text` without white space.
  private static func words(of text: String) -> [Unicode.Scalar] {
    text.unicodeScalars.filter { !$0.properties.isWhitespace }
  }

  /// The stretches of `text` between `marks`, each of which must occur once, in order.
  private static func split(_ text: String, at marks: [String]) throws(JinjaError) -> [String] {
    var parts: [String] = []
    var rest = Array(text.utf8)
    for mark in marks {
      let mark = Array(mark.utf8)
      let places = rest.indices.filter { rest[$0...].starts(with: mark) }
      guard places.count == 1 else { throw JinjaError("it does not write every message once") }
      parts.append(String(decoding: rest[..<places[0]], as: UTF8.self))
      rest.removeFirst(places[0] + mark.count)
    }
    return parts + [String(decoding: rest, as: UTF8.self)]
  }

  private static func dropping(prefix: String, of text: String) -> String? {
    guard text.utf8.starts(with: prefix.utf8) else { return nil }
    return String(decoding: text.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
  }

  private static func dropping(suffix: String, of text: String) -> String? {
    guard text.utf8.count >= suffix.utf8.count,
      text.utf8.suffix(suffix.utf8.count).elementsEqual(suffix.utf8)
    else { return nil }
    return String(decoding: text.utf8.dropLast(suffix.utf8.count), as: UTF8.self)
  }

  /// A name for people, by the words that mark a turn.
  private static func name(of template: PromptTemplate, bos: String) -> String {
    func has(_ text: String, _ part: String) -> Bool { JinjaFunctions.contains(text, part) }
    let start = template.userStart
    if has(start, "<|im_start|>") { return "chatml" }
    if has(start, "<|start_header_id|>") { return "llama-3" }
    if has(start, "[INST]") {
      return !bos.isEmpty && has(template.assistantEnd, bos) ? "llama-2" : "mistral"
    }
    if has(start, "USER:"), has(template.assistantStart, "ASSISTANT:") { return "vicuna_v1" }
    if template.opening.isEmpty, start.isEmpty, template.assistantStart.isEmpty { return "plain" }
    return "custom"
  }
}
