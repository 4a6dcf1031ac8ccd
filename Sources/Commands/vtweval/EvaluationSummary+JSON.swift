import Architecture
import CommandSupport
import Evaluation
import Statistics
import TensorCore

/// What `--json` prints of each profile: `formats/evaluation.md`.
extension EvaluationSummary {
  var profilesJSON: JSONValue {
    .array(
      profiles.map { profile in
        [
          "name": .string(profile.name), "k": .integer(profile.schedule.withdrawalLayer),
          "schedule": profile.schedule.segmentsJSON, "tasks": .array(profile.rows.map(\.json)),
        ]
      })
  }

  /// Every task under its own profile; nil where the tasks have none.
  var ownProfilesJSON: JSONValue? {
    ownProfiles.isEmpty
      ? nil
      : .array(
        ownProfiles.map { own in
          [
            "name": .string(own.name),
            "profiles": .object(JSONObject(own.profiles.map { ($0.task, .string($0.profile)) })),
            "tasks": .array(own.rows.map(\.json)),
          ]
        })
  }
}

extension EvaluationSummary.Row {
  fileprivate var json: JSONValue {
    typealias Estimate = EvaluationSummary.Estimate
    var object = JSONObject([
      ("name", .string(name)), ("n", .integer(count)),
      (
        "score",
        .object(
          JSONObject(
            rules.sorted { $0.key.rawValue < $1.key.rawValue }.map {
              ($0.key.rawValue, .integer($0.value))
            }))
      ),
    ])
    object.set("accuracy_full", .full(correct))
    object.set("accuracy", .this(correct))
    object.set(
      "accuracy_difference",
      .difference(correct))
    object["only_full_correct"] = .integer(correct.onlyReference)
    object["only_this_correct"] = .integer(correct.onlyThis)
    if let pairs = correctPairs {
      object["accuracy_plus_n"] = .integer(pairs.count)
      object.set("accuracy_plus_full", .full(pairs))
      object.set("accuracy_plus", .this(pairs))
      object.set(
        "accuracy_plus_difference",
        .difference(pairs))
    }
    object.set("agreement", same)
    object["positions"] = .integer(positionCount)
    object.set("mean_kl", meanKL, places: 9)
    object.set("token_agreement", tokenAgreement)
    let rest: [(String, Estimate)] = [
      ("tokens_full", tokensFull), ("tokens", tokens), ("tokens_difference", tokensDifference),
      ("seconds_full", secondsFull), ("seconds", seconds), ("seconds_ratio", secondsRatio),
      ("first_token_full", firstTokenSecondsFull), ("first_token", firstTokenSeconds),
      ("first_token_ratio", firstTokenRatio), ("prefill_full", prefillSecondsFull),
      ("prefill", prefillSeconds), ("prefill_ratio", prefillRatio),
    ]
    for (name, estimate) in rest { object.set(name, estimate) }
    return .object(object)
  }
}

extension JSONObject {
  /// Sets `name` to the value and `name_interval` to its bounds, each null without.
  fileprivate mutating func set(
    _ name: String, _ estimate: EvaluationSummary.Estimate, places: Int = 6
  ) {
    func number(_ value: Double) -> JSONValue { .number(rounded(value, places)) }
    self[name] = estimate.value.map(number) ?? .null
    self[name + "_interval"] =
      estimate.interval.map { .array([number($0.lowerBound), number($0.upperBound)]) } ?? .null
  }
}
