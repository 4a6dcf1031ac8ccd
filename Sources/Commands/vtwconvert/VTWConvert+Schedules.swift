import Architecture
import Calibration
import CommandSupport
import Inference
import Kernels
import Prompting
import RuntimeSupport
import SampleSets
import TensorCore
import VTWMFile

/// Samples on their way from the first sweep to the search.
struct MeasuredSamples {
  var statistics: CalibrationStatistics
  /// What measures more of them, and the samples; where only statistics are at hand, neither.
  var calibrator: Calibrator?
  var samples: [Sample] = []
  /// What the full model says of each, by id, if it is needed again and known.
  var answers: [String: Calibrator.FullAnswer] = [:]
}

extension VTWConvert {
  /// The profile that `--schedule` gives by hand; nil if it gives none.
  func givenProfile(_ configuration: ModelConfiguration) throws(InputError) -> ScheduleProfile? {
    guard search.method != .withdraw else { return nil }
    guard configuration.vision != nil else {
      throw InputError(input, "is a text-only model; --schedule needs one that sees images")
    }
    let layerCount = configuration.text.layerCount
    if search.exhaustive, layerCount > Self.mostExhaustiveLayers {
      throw InputError(
        input,
        "has \(layerCount) layers; --exhaustive is for \(Self.mostExhaustiveLayers) at most")
    }
    guard case .given(let text) = search.method else { return nil }
    guard let profile = ScheduleProfile(text, of: layerCount) else {
      throw InputError(input, "has \(layerCount) layers; --schedule \(printable(text)) needs more")
    }
    return profile
  }

  // The points of more would not fit the record.
  private static let mostExhaustiveLayers = 48

  /// The schedule that `--schedule` asks for, with what it was compared with, and the statistics
  /// with what was measured for it.
  ///
  /// - Throws: `ExitCode` after an interruption, when everything that was measured is kept.
  func findSchedule(
    _ report: CalibrationReport, _ measured: MeasuredSamples, _ subject: CalibrationSubject,
    compute: Compute
  ) throws -> (ScheduleFindings?, CalibrationStatistics) {
    guard search.method != .withdraw else { return (nil, measured.statistics) }
    let configuration = subject.contents.configuration
    let layerCount = configuration.text.layerCount
    let objective = ScheduleObjective(rawValue: search.objective) ?? .flops
    let costs = ScheduleCosts(
      configuration,
      keyValueRowBytes: 2 * configuration.text.keyValueWidth * subject.precision.byteCount,
      textRows: ConvertResult.textRows, objective: objective,
      seconds: objective == .time
        ? try layerSeconds(Model(configuration, subject.tensors, compute), subject) : nil)
    var finder = ScheduleFinder(
      report: report, costs: costs, measured: measured,
      progress: ProgressLine("searching schedules", isQuiet: quiet), keep: saver())
    var chosen = ScheduleCosts.States()
    do {
      defer { finder.progress.finish() }
      chosen = try InterruptCleanup.deferring {
        switch search.method {
        case .withdraw: []
        case .freeze: try finder.freeze()
        case .auto: try finder.auto(isExhaustive: search.exhaustive)
        case .greedy: try finder.greedy()
        case .given: try finder.given(try givenProfile(configuration)?.visualStates ?? [])
        }
      }
    } catch is ScheduleFinder.Interruption {
      throw try interrupted(finder.statistics, "the samples, and some schedules,")
    }
    let findings = ScheduleFindings(
      finder.schedules, beside: report, costs: costs, chosen: chosen,
      own: search.findsOwn ? finder.own(freezesOnly: search.method == .freeze) : [],
      setOperations: costs.operations(chosen, in: finder.statistics.promptRows),
      name: search.profileName(layerCount: layerCount) ?? "",
      method: search.method == .given(search.schedule) ? "given" : search.schedule,
      isExhaustive: search.exhaustive)
    return (findings, finder.statistics)
  }

  // Medians of so many rounds, after one that is not counted.
  private static let timedRounds = 3

  /// How long a layer takes in a made-up prompt of one image.
  private func layerSeconds(
    _ model: Model, _ subject: CalibrationSubject
  ) throws(InputError) -> ScheduleCosts.LayerSeconds {
    let configuration = model.configuration
    let layerCount = configuration.text.layerCount
    let visualRows = configuration.rowsOfLargestImage
    let textRows = ConvertResult.textRows
    guard visualRows + textRows <= configuration.text.contextLength else {
      throw InputError(
        input,
        "has a context of \(configuration.text.contextLength) rows; --objective time needs "
          + "\(visualRows + textRows)")
    }
    let before = textRows / 2
    var prompt = ModelInput(
      ids: Array(repeating: 1, count: textRows + visualRows), classes: [], imageCount: 1,
      imageRanges: [before..<before + visualRows])
    prompt.classes =
      Array(repeating: .system, count: before) + Array(repeating: .visual, count: visualRows)
      + Array(repeating: .user, count: textRows - before)
    let visual = Rows(count: visualRows, width: configuration.text.hiddenSize)
    var random = SplitMix64(seed: 1)
    visual.fill(from: (0..<visual.count * visual.width).map { _ in random.nextUnit() - 0.5 })
    let states: [ScheduleProfile.VisualState] = [.full, .frozen, .withdrawn]
    let sessions = states.map { state in
      Session(
        model,
        profile: ScheduleProfile(
          name: state.name, states: Array(repeating: state, count: layerCount)),
        precision: subject.precision.kernel)
    }
    var times = states.map { _ in [Double]() }
    let clock = ContinuousClock()
    for round in 0...Self.timedRounds {
      for (index, session) in sessions.enumerated() {
        session.reset()
        let start = clock.now
        _ = try session.prefill(prompt, visual: visual)
        if round > 0 { times[index].append(seconds(clock.now - start)) }
      }
    }
    let medians = times.map { $0.sorted()[Self.timedRounds / 2] / Double(layerCount) }
    return ScheduleCosts.LayerSeconds(
      full: medians[0], frozen: medians[1], withdrawn: medians[2])
  }
}
