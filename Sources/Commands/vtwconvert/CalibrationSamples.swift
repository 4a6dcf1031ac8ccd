import SampleSets

/// The samples of all sets, apart for choosing K and for checking the choice.
struct CalibrationSamples {
  var choose: SampleSet
  var check: SampleSet
  /// What was said of the sets, such as of tasks too small to be judged.
  var warnings: [String]

  var tasks: [String] { choose.tasks }

  var count: Int { choose.samples.count + check.samples.count }

  /// All of them in one order: those that choose, then those that check.
  var all: [(sample: Sample, isHeldOut: Bool)] {
    choose.samples.map { ($0, false) } + check.samples.map { ($0, true) }
  }

  /// Changes with every question, answer, task and part, but not with the pictures.
  var fingerprint: String {
    SampleSets.fingerprint(all)
  }
}
