/// A sample whose answer withdrawal changes, with what the model says with and without it.
package struct ChangedSample: Equatable, Sendable {
  /// What the model says to a sample.
  package struct Answers: Equatable, Sendable {
    package var question: String
    /// The set's own answer, if it has one.
    package var expected: String?
    package var full: String
    package var withdrawn: String
    package var thumbnails: [Thumbnail]

    package init(
      question: String, expected: String?, full: String, withdrawn: String,
      thumbnails: [Thumbnail]
    ) {
      self.question = question
      self.expected = expected
      self.full = full
      self.withdrawn = withdrawn
      self.thumbnails = thumbnails
    }
  }

  package var id: String
  package var task: String
  package var isHeldOut: Bool
  /// Over its answer positions.
  package var meanKL: Double
  package var maxKL: Double
  package var positions: Int
  /// Positions whose most likely token stays the same.
  package var agreeing: Int
  /// Nil where the sample itself is not at hand, or for the reason that `problem` gives.
  package var answers: Answers?
  package var problem: String?

  package init(
    id: String, task: String, isHeldOut: Bool, meanKL: Double, maxKL: Double, positions: Int,
    agreeing: Int, answers: Answers? = nil
  ) {
    self.id = id
    self.task = task
    self.isHeldOut = isHeldOut
    self.meanKL = meanKL
    self.maxKL = maxKL
    self.positions = positions
    self.agreeing = agreeing
    self.answers = answers
  }
}
