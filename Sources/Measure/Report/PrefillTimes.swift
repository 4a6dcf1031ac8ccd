/// Seconds that a prompt takes up to its first token, measured at some withdrawal layers.
package struct PrefillTimes: Equatable, Sendable {
  package struct Point: Equatable, Sendable {
    package var k: Int
    /// One per round; the rounds went over all points in turn.
    package var seconds: [Double]
    /// The share of the decoder's operations, calculated for this very prompt.
    package var operations: Double

    /// What the work takes; more is what else the machine did.
    package var least: Double { seconds.min() ?? 0 }

    package init(k: Int, seconds: [Double], operations: Double) {
      self.k = k
      self.seconds = seconds
      self.operations = operations
    }
  }

  /// The prompt's sample.
  package var sample: String
  package var visualRows: Int
  package var textRows: Int
  /// Threads and instruction set, for people.
  package var engine: String
  /// Vision tower and projector, which run before and whatever K is.
  package var visionSeconds: Double
  /// By K; the last is the layer count: never withdrawn.
  package var points: [Point]

  /// Whether other programs took much of the machine meanwhile: work of one kind took very unequal
  /// times.
  var isDisturbed: Bool { median(points.map { median($0.seconds) / max($0.least, 1e-9) }) > 1.3 }

  package init(
    sample: String, visualRows: Int, textRows: Int, engine: String, visionSeconds: Double,
    points: [Point]
  ) {
    self.sample = sample
    self.visualRows = visualRows
    self.textRows = textRows
    self.engine = engine
    self.visionSeconds = visionSeconds
    self.points = points
  }
}
