import Architecture
import TensorCore

/// The record's member `schedules`: `formats/calibration.md`.
extension ScheduleFindings {
  var json: JSONValue {
    var object = JSONObject([
      ("method", .string(method)), ("objective", .string(objective.rawValue)),
      ("exhaustive", .bool(isExhaustive)),
    ])
    if let seconds {
      object["layer_seconds"] = [
        "full": .number(seconds.full), "frozen": .number(seconds.frozen),
        "withdrawn": .number(seconds.withdrawn),
      ]
    }
    var choice = chosen.members
    choice["name"] = .string(name)
    choice["set_flops_ratio"] = .number(setOperations)
    choice["tasks"] = .array(
      tasks.map { task in
        var object = JSONObject([
          ("name", .string(task.name)), ("mean_kl", .number(task.choosing.meanKL)),
          ("agreement", .number(task.choosing.agreement)),
        ])
        if let heldOut = task.heldOut {
          object["holdout_mean_kl"] = .number(heldOut.meanKL)
          object["holdout_agreement"] = .number(heldOut.agreement)
        }
        return .object(object)
      })
    object["chosen"] = .object(choice)
    object["points"] = .array(points.map { .object($0.members) })
    return .object(object)
  }
}

extension SchedulePoint {
  fileprivate var members: JSONObject {
    var object = JSONObject()
    let frozen = states.firstIndex { $0 != .full } ?? states.count
    let withdrawn = states.firstIndex(of: .withdrawn) ?? states.count
    if FreezePoint(min(frozen, withdrawn), withdrawn).states(states.count) == states {
      object["freeze"] = .integer(frozen)
      object["withdraw"] = .integer(withdrawn)
    } else {
      object["updated"] = .array(
        states.indices.filter { states[$0] == .full }.map(JSONValue.integer))
    }
    object["flops_ratio"] = .number(operations)
    object["kv_ratio"] = .number(keyValue)
    object["kv_bytes"] = .integer(keyValueBytes)
    object["worst_mean_kl"] = .number(quality.worstMeanKL)
    object["worst_task"] = .string(quality.worstTask)
    object["least_agreement"] = .number(quality.leastAgreement)
    if let heldOut {
      object["holdout_worst_mean_kl"] = .number(heldOut.worstMeanKL)
      object["holdout_least_agreement"] = .number(heldOut.leastAgreement)
    }
    object["passes"] = .bool(passes)
    object["pareto"] = .bool(isPareto)
    return object
  }
}
