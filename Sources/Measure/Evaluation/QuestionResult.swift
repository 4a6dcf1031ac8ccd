package import Inference

/// What each schedule of a plan made of one question.
package struct QuestionResult: Equatable, Sendable {
  /// What one schedule made of it.
  package struct Run: Equatable, Sendable {
    package var answer: String
    /// Tokens of the answer, without the end of the text.
    package var tokenCount: Int
    package var end: Answer.End
    /// Nil if the set has no answer.
    package var isCorrect: Bool?
    /// Wall-clock seconds from the image's rows to the first token, and on to the last.
    package var prefillSeconds: Double
    package var decodeSeconds: Double
    /// By answer position, KL(this ‖ full) in nats; the largest value of `DivergenceSum` stands for
    /// what is no number.
    package var kl: [Double]
    /// By answer position, whether the most likely token is the full model's.
    package var agrees: [Bool]

    package init(
      answer: String, tokenCount: Int, end: Answer.End, isCorrect: Bool?, prefillSeconds: Double,
      decodeSeconds: Double, kl: [Double], agrees: [Bool]
    ) {
      self.answer = answer
      self.tokenCount = tokenCount
      self.end = end
      self.isCorrect = isCorrect
      self.prefillSeconds = prefillSeconds
      self.decodeSeconds = decodeSeconds
      self.kl = kl
      self.agrees = agrees
    }
  }

  package var id: String
  package var task: String
  /// The one image that it is about; nil for none or several.
  package var image: String?
  /// Nil if the set has no answer.
  package var rule: ScoringRule?
  /// Reading the images, and the vision tower: once for all schedules.
  package var imageSeconds: Double
  package var visionSeconds: Double
  /// By schedule of the plan; the first is the full model.
  package var runs: [Run]

  package init(
    id: String, task: String, image: String?, rule: ScoringRule?, imageSeconds: Double,
    visionSeconds: Double, runs: [Run]
  ) {
    self.id = id
    self.task = task
    self.image = image
    self.rule = rule
    self.imageSeconds = imageSeconds
    self.visionSeconds = visionSeconds
    self.runs = runs
  }

  /// Whether `schedule` answers what the full model does, white space at both ends aside.
  package func isSame(_ schedule: Int) -> Bool {
    trimmed(runs[schedule].answer) == trimmed(runs[0].answer)
  }

  /// From the image file to the last token.
  package func seconds(_ schedule: Int) -> Double {
    imageSeconds + visionSeconds + runs[schedule].prefillSeconds + runs[schedule].decodeSeconds
  }

  /// From the image file to the first token.
  package func firstTokenSeconds(_ schedule: Int) -> Double {
    imageSeconds + visionSeconds + runs[schedule].prefillSeconds
  }
}

private func trimmed(_ text: String) -> String {
  var rest = text[...]
  while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
  while rest.last?.isWhitespace == true { rest = rest.dropLast() }
  return String(rest)
}
