import Architecture
import ArgumentParser
import Calibration

/// Options that look for schedules beyond withdrawal.
struct SearchOptions: ParsableArguments {
  /// How a schedule beside the default one is found.
  enum Method: Equatable {
    case withdraw, freeze, auto, greedy
    /// By hand, as `ScheduleProfile(_:of:)` reads it.
    case given(String)

    init(_ text: String) {
      let known: [String: Method] = [
        "withdraw": .withdraw, "freeze": .freeze, "auto": .auto, "greedy": .greedy,
      ]
      self = known[text] ?? .given(text)
    }
  }

  @Option(
    help: ArgumentHelp(
      """
      Beside the default profile, which withdraws, look for one that freezes visual rows first: \
      freeze (from one layer on), auto (the cheapest freeze and withdrawal), both also for each task \
      by itself (auto-TASK), greedy (layer by layer, slow); or give it: A-B (frozen in layers A..<B, then withdrawn), layers=0,2,3 (updated in \
      these only).
      """, valueName: "schedule"))
  var schedule = "withdraw"

  @Option(help: "What the schedule shall be cheap in: flops, kv, or time, which is measured.")
  var objective: String = "flops"

  @Flag(help: "Measure every schedule that freezes once and withdraws once, for --schedule auto.")
  var exhaustive = false

  var method: Method { Method(schedule) }

  /// Whether full passes are needed again after the first sweep.
  var keepsAnswers: Bool { method != .withdraw && !isMeasuredAtOnce }

  /// Whether the first sweep over a sample measures all that the choice needs, whatever other samples
  /// say: so it can be shared out.
  var isMeasuredAtOnce: Bool {
    switch method {
    case .withdraw, .freeze: true
    case .auto: exhaustive
    case .greedy: false
    case .given(let text): !text.hasPrefix("layers")
    }
  }

  mutating func validate() throws {
    guard ScheduleObjective(rawValue: objective) != nil else {
      throw ValidationError("--objective must be flops, kv or time.")
    }
    guard !exhaustive || method == .auto else {
      throw ValidationError("--exhaustive is for --schedule auto.")
    }
    if case .given(let text) = method {
      // 1024 is the most layers of a file.
      guard ScheduleProfile(text, of: 1024) != nil else {
        throw ValidationError(
          "--schedule must be withdraw, freeze, auto, greedy, A-B such as 4-22, or layers= with a list "
            + "such as layers=0,2,3.")
      }
    }
    guard objective == "flops" || method == .freeze || method == .auto else {
      throw ValidationError("--objective is for --schedule freeze and auto.")
    }
  }

  /// What the first sweep measures beside withdrawal at every layer.
  func plan(layerCount: Int) -> LayerSweep.Plan {
    switch method {
    case .freeze: LayerSweep.Plan(forks: ScheduleFork.freezing(layerCount: layerCount))
    case .auto:
      LayerSweep.Plan(
        forks: exhaustive
          ? ScheduleFork.all(layerCount: layerCount)
          : ScheduleFork.searching(layerCount: layerCount))
    case .given(let text):
      LayerSweep.Plan(
        forks: ScheduleProfile(text, of: layerCount).flatMap { profile in
          profile.freezesRows ? FreezePoint(profile.visualStates) : nil
        }.map { [ScheduleFork(freeze: $0.freeze, ends: [$0.withdraw])] } ?? [])
    case .withdraw, .greedy: LayerSweep.Plan()
    }
  }

  /// Whether each task gets a schedule of its own too.
  var findsOwn: Bool { method == .freeze || method == .auto }

  /// The names of the profiles that are found for tasks.
  func ownNames(_ tasks: [String]) -> [String] {
    findsOwn ? tasks.map { "\(schedule)-\($0)" } : []
  }

  /// The name of the profile that is found or given; nil without one.
  func profileName(layerCount: Int) -> String? {
    switch method {
    case .withdraw: nil
    case .freeze, .auto, .greedy: schedule
    case .given(let text): ScheduleProfile(text, of: layerCount)?.name
    }
  }
}
