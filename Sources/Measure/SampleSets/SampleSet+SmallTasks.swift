import TensorCore

extension SampleSet {
  /// With fewer samples than this, a task's mean says little: one of them moves it by an eighth.
  package static let fewestTaskSamples = 8

  /// What tasks become that have too few samples to be judged by themselves.
  package static let smallTasksName = "default"

  /// The set with its small tasks made one, called "default", and what to tell the user of it.
  ///
  /// A set of a single task keeps its name.
  ///
  /// - Parameter fewest: samples from which on a task stands by itself.
  package func mergingSmallTasks(
    below fewest: Int = SampleSet.fewestTaskSamples
  ) -> (set: SampleSet, warnings: [String]) {
    let counts = samples.reduce(into: [:]) { $0[$1.task, default: 0] += 1 }
    let tasks = tasks
    let small = tasks.filter { counts[$0, default: 0] < fewest }
    guard !small.isEmpty else { return (self, []) }
    guard tasks.count > 1 else {
      return (
        self, ["the set has \(samples.count) of the \(fewest) samples that say something of a task"]
      )
    }
    let isSmall = Set(small)
    let merged = SampleSet(
      samples: samples.map { sample in
        var sample = sample
        if isSmall.contains(sample.task) { sample.task = Self.smallTasksName }
        return sample
      }, refused: refused)
    let names = small.map { "\(printable($0)) (\(counts[$0, default: 0]))" }
    return (
      merged,
      [
        "tasks of fewer than \(fewest) samples are judged together as '\(Self.smallTasksName)': "
          + names.joined(separator: ", ")
      ]
    )
  }
}
