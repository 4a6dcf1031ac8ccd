import TensorCore

extension ListLayout {
  /// LLaVA's training files, an array of JSON or one object per line: `image` (or a list), and
  /// `conversations` of `from` (`human`, `gpt`) and `value`.  The first exchange counts.
  static let conversations = ListLayout(
    summary: "LLaVA conversations (JSON or JSONL)",
    recognizes: { file in file.firstObject?["conversations"]?.arrayValue != nil },
    read: { (file, place, reader) throws(InputError) in
      file.forEachObject(of: place, into: &reader) { (fields) throws(InputError) in
        let images = try place.images(try fields.imageNames, orIn: "images")
        let turns = try Turns(fields.object)
        return SampleDescription(
          images: images,
          question: try ImageMarks.removed(from: turns.question, imageCount: images.count),
          answer: turns.answer)
      }
    })
}

/// The first question of a conversation and its answer.
private struct Turns {
  let question: String
  let answer: String?

  init(_ object: JSONValue) throws(InputError) {
    guard let turns = object["conversations"]?.arrayValue else {
      throw InputError("", "has no list 'conversations'")
    }
    var spoken: [(who: String, text: String)] = []
    for turn in turns {
      guard let who = turn["from"]?.stringValue, let text = turn["value"]?.stringValue else {
        throw InputError("", "a conversation needs 'from' and 'value', both strings")
      }
      // The prompt's template has its own opening.
      if who != "system" { spoken.append((who, text)) }
    }
    guard let first = spoken.first, ["human", "user"].contains(first.who) else {
      throw InputError("", "the conversation does not begin with 'human'")
    }
    question = first.text
    answer = spoken.dropFirst().first.flatMap { turn in
      ["gpt", "assistant"].contains(turn.who) && !isBlank(turn.text) ? turn.text : nil
    }
  }
}
