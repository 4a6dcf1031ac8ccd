import Prompting
import TensorCore

extension ListLayout {
  /// Conversations as OpenAI's interface takes them, one object per line: `messages` of `role` and
  /// `content`, a text or parts of `text` and `image_url` (a data URI, or the path of a file).  The
  /// first exchange counts.  Texts with `<image>` marks and a list `images` beside `messages`, as
  /// training tools write them, are read as well.
  static let chatMessages = ListLayout(
    summary: "lines of JSON with OpenAI 'messages'",
    recognizes: { file in file.firstObject?["messages"]?.arrayValue != nil },
    read: { (file, place, reader) throws(InputError) in
      file.forEachEntry(of: place, into: &reader) { (entry) throws(InputError) in
        let text = try file.text(entry.range, limit: SampleLimits.image)
        let fields = try SampleFields(parsing: text, limits: SampleLimits.jsonWithImages)
        let conversation = try ChatConversation(fields.object)
        var images: [ImageSource] = []
        for address in conversation.images {
          let name = "\(file.name):\(entry.number): image \(images.count + 1)"
          if let payload = try DataURI(address) {
            images.append(try payload.source(in: file, entry.range, text: text, name: name))
          } else {
            images.append(try place.image(address, orIn: "images"))
          }
        }
        return SampleDescription(
          images: images,
          question: try ImageMarks.removed(
            from: conversation.question, imageCount: images.count),
          answer: conversation.answer)
      }
    })
}

/// The first question of `messages`, its images, and the answer.
private struct ChatConversation {
  private(set) var question = ""
  private(set) var images: [String] = []
  private(set) var answer: String?

  init(_ object: JSONValue) throws(InputError) {
    guard let messages = object["messages"]?.arrayValue else {
      throw InputError("", "has no list 'messages'")
    }
    // The prompt's template has its own opening.
    let spoken = messages.filter {
      !["system", "developer"].contains($0["role"]?.stringValue ?? "")
    }
    guard let first = spoken.first, first["role"]?.stringValue == "user" else {
      throw InputError("", "the messages do not begin with one of role 'user'")
    }
    question = try text(of: first)
    for item in object["images"]?.arrayValue ?? [] {
      guard let address = item.stringValue ?? item["path"]?.stringValue else {
        throw InputError("", "'images' holds \(item.kind); file names expected")
      }
      images.append(address)
    }
    guard !images.isEmpty else { throw InputError("", "the first question has no image") }
    if let next = spoken.dropFirst().first, next["role"]?.stringValue == "assistant" {
      let imageCount = images.count
      let text = try text(of: next)
      guard images.count == imageCount else { throw InputError("", "the answer has an image") }
      answer = isBlank(text) ? nil : text
    }
  }

  /// The texts of a message; its images are added to `images`.
  private mutating func text(of message: JSONValue) throws(InputError) -> String {
    if let text = message["content"]?.stringValue { return text }
    guard let parts = message["content"]?.arrayValue else {
      throw InputError("", "a message needs 'content', a text or a list of parts")
    }
    var texts: [String] = []
    /// Texts before, between and after the images: more than one means that images stand between.
    var gaps: Set<Int> = []
    for part in parts {
      if let text = part["text"]?.stringValue {
        texts.append(text)
        if !isBlank(text) { gaps.insert(images.count) }
      } else if let address = part["image_url"]?.stringValue
        ?? part["image_url"]?["url"]?.stringValue ?? part["image"]?.stringValue
        ?? part["path"]?.stringValue
      {
        images.append(address)
      } else {
        let kind = part["type"]?.stringValue ?? part.kind
        throw InputError(
          "", "a message has a part '\(printable(kind))'; 'text' and 'image_url' are read")
      }
    }
    guard images.count < 2 || gaps.count < 2 else {
      throw InputError("", "several images stand between the words of the question")
    }
    return texts.joined(separator: "\n")
  }
}
