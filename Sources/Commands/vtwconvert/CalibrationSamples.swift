import SampleSets

/// The samples of all sets, apart for choosing K and for checking the choice.
struct CalibrationSamples {
  var choose: SampleSet
  var check: SampleSet
  /// What was said of the sets, such as of tasks too small to be judged.
  var warnings: [String]

  var tasks: [String] { choose.tasks }
}
