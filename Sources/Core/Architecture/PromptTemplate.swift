/// A chat template as plain data: the text around each turn.
///
/// A conversation is `opening`, then for each turn
/// `userStart + images + questionStart + question + userEnd + assistantStart + answer + assistantEnd`;
/// the prompt ends after `assistantStart` of the turn to be answered.
package struct PromptTemplate: Equatable, Sendable {
  /// A name for people: "vicuna_v1", "chatml", "plain".
  package var name: String
  /// Before the first turn, such as the system prompt.  The tokenizer adds BOS by itself.
  package var opening: String
  package var userStart: String
  /// Stands for one image, placeholder included; put before the question, once per image.
  package var image: String
  /// Between the images, or the start of a turn without any, and the question.
  package var questionStart: String
  package var userEnd: String
  package var assistantStart: String
  package var assistantEnd: String
  /// The placeholder inside `image` that is replaced by visual rows.
  package var imagePlaceholder: String

  package init(
    name: String, opening: String, userStart: String, image: String, questionStart: String = "",
    userEnd: String, assistantStart: String, assistantEnd: String,
    imagePlaceholder: String = "<image>"
  ) {
    self.name = name
    self.opening = opening
    self.userStart = userStart
    self.image = image
    self.questionStart = questionStart
    self.userEnd = userEnd
    self.assistantStart = assistantStart
    self.assistantEnd = assistantEnd
    self.imagePlaceholder = imagePlaceholder
  }
}
