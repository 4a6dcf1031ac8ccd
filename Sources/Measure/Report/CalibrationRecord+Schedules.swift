package import Architecture
import TensorCore

extension CalibrationRecord {
  /// What a search for schedules beyond withdrawal found.
  package struct Schedules: Equatable, Sendable {
    /// A schedule, what it costs, and what it keeps.
    package struct Point: Equatable, Sendable {
      /// Layer by layer what becomes of visual rows.
      package var states: [ScheduleProfile.VisualState]
      package var operations: Double?
      package var keyValue: Double?
      package var keyValueBytes: Int?
      package var worstMeanKL: Double?
      package var worstTask: String?
      package var leastAgreement: Double?
      package var heldOutWorstMeanKL: Double?
      package var heldOutLeastAgreement: Double?
      package var passes: Bool
      package var isPareto: Bool

      package var profile: ScheduleProfile { ScheduleProfile(name: "", states: states) }
    }

    /// A task under a schedule.
    package struct Task: Equatable, Sendable {
      package var name: String
      package var meanKL: Double?
      package var agreement: Double?
      package var heldOutMeanKL: Double?
      package var heldOutAgreement: Double?
    }

    /// A schedule for one task alone: the name of its profile, what it costs, and what it keeps.
    package struct Own: Equatable, Sendable {
      package var name: String
      package var point: Point
      package var task: Task
    }

    /// How schedules were looked for, and what they should be cheap in.
    package var method: String?
    package var objective: String?
    package var isExhaustive: Bool
    /// The profile that was chosen.
    package var name: String?
    package var chosen: Point?
    /// Its share of the FLOPs in the set's own prompts.
    package var setOperations: Double?
    package var tasks: [Task]
    /// What each task alone would take.
    package var own: [Own]
    /// The cheapest first.
    package var points: [Point]
  }
}

extension CalibrationRecord.Schedules {
  init(_ value: JSONValue, layerCount: Int) {
    let choice = value["chosen"]
    method = value["method"]?.stringValue
    objective = value["objective"]?.stringValue
    isExhaustive = value["exhaustive"]?.boolValue ?? false
    name = choice?["name"]?.stringValue
    chosen = choice.flatMap { Point($0, layerCount: layerCount) }
    setOperations = choice?["set_flops_ratio"]?.doubleValue
    tasks = (choice?["tasks"]?.arrayValue ?? []).map { Task($0, name: $0["name"]) }
    own = (value["own"]?.arrayValue ?? []).compactMap { own in
      Point(own, layerCount: layerCount).map {
        Own(
          name: own["name"]?.stringValue ?? "-", point: $0, task: Task(own, name: own["task"]))
      }
    }
    points = (value["points"]?.arrayValue ?? []).compactMap { Point($0, layerCount: layerCount) }
      .sorted { ($0.operations ?? 1) < ($1.operations ?? 1) }
  }
}

extension CalibrationRecord.Schedules.Point {
  fileprivate init?(_ value: JSONValue, layerCount: Int) {
    guard let states = ScheduleProfile.states(value, layerCount: layerCount) else { return nil }
    self.states = states
    operations = value["flops_ratio"]?.doubleValue
    keyValue = value["kv_ratio"]?.doubleValue
    keyValueBytes = value["kv_bytes"]?.integerValue
    worstMeanKL = value["worst_mean_kl"]?.doubleValue
    worstTask = value["worst_task"]?.stringValue
    leastAgreement = value["least_agreement"]?.doubleValue
    heldOutWorstMeanKL = value["holdout_worst_mean_kl"]?.doubleValue
    heldOutLeastAgreement = value["holdout_least_agreement"]?.doubleValue
    passes = value["passes"]?.boolValue ?? false
    isPareto = value["pareto"]?.boolValue ?? false
  }
}

extension CalibrationRecord.Schedules.Task {
  fileprivate init(_ value: JSONValue, name: JSONValue?) {
    self.name = name?.stringValue ?? "-"
    meanKL = value["mean_kl"]?.doubleValue
    agreement = value["agreement"]?.doubleValue
    heldOutMeanKL = value["holdout_mean_kl"]?.doubleValue
    heldOutAgreement = value["holdout_agreement"]?.doubleValue
  }
}
