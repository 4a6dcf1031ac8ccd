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
        var object = JSONObject([("name", .string(task.name))])
        task.add(to: &object)
        return .object(object)
      })
    object["chosen"] = .object(choice)
    if !own.isEmpty {
      object["own"] = .array(
        own.map { own in
          var object = own.point.costMembers
          object["name"] = .string(own.profile.name)
          object["task"] = .string(own.task.name)
          own.task.add(to: &object)
          return .object(object)
        })
    }
    object["points"] = .array(points.map { .object($0.members) })
    return .object(object)
  }
}

extension ScheduleFindings.Task {
  fileprivate func add(to object: inout JSONObject) {
    object["mean_kl"] = .number(choosing.meanKL)
    object["agreement"] = .number(choosing.agreement)
    object["holdout_mean_kl"] = heldOut.map { .number($0.meanKL) }
    object["holdout_agreement"] = heldOut.map { .number($0.agreement) }
  }
}

extension SchedulePoint {
  fileprivate var costMembers: JSONObject {
    var object = ScheduleProfile.recordMembers(states)
    object["flops_ratio"] = .number(operations)
    object["kv_ratio"] = .number(keyValue)
    object["kv_bytes"] = .integer(keyValueBytes)
    return object
  }

  fileprivate var members: JSONObject {
    var object = costMembers
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
