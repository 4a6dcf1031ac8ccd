import CommandSupport
import Evaluation
import SampleSets
import TensorCore

/// The questions of a set asked one after another, until all are done or the user interrupts.
struct AnswerRun {
  private(set) var results: [QuestionResult] = []
  private(set) var refused: [RefusedSample] = []
  let questionCount: Int

  var doneCount: Int { results.count + refused.count }
  var isComplete: Bool { doneCount == questionCount }

  /// - Parameters:
  ///   - file: where every question that is done is written, and found that was done before.
  ///   - progress: takes the share done, 0...1.
  init(
    _ runner: QuestionRunner, on samples: [Sample], file: ResultsFile?, progress: (Double) -> Void
  ) throws(InputError) {
    questionCount = samples.count
    for record in file?.earlier ?? [] { add(record) }
    let done = Set(results.map(\.id)).union(refused.map(\.id))
    var isWarm = false
    for (turn, sample) in samples.enumerated() where !done.contains(sample.id) {
      guard InterruptCleanup.signal == nil else { return }
      let record: ResultsFile.Record
      do throws(InputError) {
        if !isWarm { try runner.warmUp(sample) }
        isWarm = true
        record = .result(try runner.ask(sample, turn: turn))
      } catch {
        record = .refused(RefusedSample(id: sample.id, reason: error.description))
      }
      try file?.append(record)
      add(record)
      progress(Double(doneCount) / Double(questionCount))
    }
  }

  private mutating func add(_ record: ResultsFile.Record) {
    switch record {
    case .result(let result): results.append(result)
    case .refused(let sample): refused.append(sample)
    }
  }
}
