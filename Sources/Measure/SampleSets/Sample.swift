package import Prompting

/// One question about images, with the right answer where the set has it.
package struct Sample: Equatable, Sendable {
  /// Where it came from, for messages: "colors/003.png" or "colors/metadata.jsonl:4".
  package var id: String
  /// The group whose samples are judged together.
  package var task: String
  /// In the order of the prompt; nobody has decoded them yet.
  package var images: [ImageSource]
  /// What is asked; samples that were read from a set always have it.
  package var question: String?
  package var answer: String?
  /// Whether `question` is a complete prompt with image placeholders, to be used without a
  /// template.
  package var isRaw: Bool

  package init(
    id: String, task: String, images: [ImageSource], question: String?, answer: String? = nil,
    isRaw: Bool = false
  ) {
    self.id = id
    self.task = task
    self.images = images
    self.question = question
    self.answer = answer
    self.isRaw = isRaw
  }
}

/// A sample that cannot be used, and why.
package struct RefusedSample: Equatable, Sendable {
  package var id: String
  package var reason: String

  package init(id: String, reason: String) {
    self.id = id
    self.reason = reason
  }
}
