import Architecture
import CommandSupport
import TensorCore
import VTWMFile

/// The calibration record for people: why this K, what was measured, and what other thresholds
/// would lead to.
///
/// The record is for people and tools and another writer may leave members out, so whatever is
/// missing shows as "-".
enum CalibrationPage {
  static func text(_ model: VTWMFile) -> String {
    guard let record = model.calibration else {
      return "this file was not calibrated: the withdrawal layer was set by hand, or never\n"
    }
    var page = choice(model, record)
    page += texts(record["explanation"]).map { wrapped($0) }.joined()
    page += texts(record["warnings"]).map { wrapped("warning: \($0)") }.joined()
    for task in (record["tasks"]?.arrayValue ?? []) + [record["pooled"] ?? .null] {
      page += curve(task)
    }
    page += SchedulePage.text(record, layerCount: model.schedule.layerCount)
    page += MigrationPage.text(record)
    page += packing(record)
    page += thresholds(record["eta"]?.arrayValue ?? [])
    page += layerCosts(record["layer_costs"]?.arrayValue ?? [])
    page += texts(record["refused"]).map { "left out: \($0)\n" }.joined()
    return page
  }

  /// What the calibration measured at the layer of `profile`: of its own task, or of the one that
  /// fares worst.
  static func quality(_ profile: ScheduleProfile, _ model: VTWMFile) -> String {
    let k = profile.withdrawalLayer
    guard let record = model.calibration else { return "" }
    if profile.freezesRows {
      let chosen = record["schedules"]?["chosen"]
      guard chosen?["name"]?.stringValue == profile.name else { return "" }
      return
        "; mean KL \(number(chosen?["worst_mean_kl"], 4)) in \(string(chosen?["worst_task"])), "
        + "agreement \(percent(chosen?["least_agreement"], 1)) at least"
    }
    guard k < model.schedule.layerCount else { return "" }
    let tasks = record["tasks"]?.arrayValue ?? []
    let own = tasks.filter { $0["name"]?.stringValue == profile.name }
    let measured = (own.isEmpty ? tasks : own).compactMap { task -> (String, JSONValue)? in
      let curve = task["curve"]?.arrayValue ?? []
      return curve.indices.contains(k) ? (string(task["name"]), curve[k]) : nil
    }
    func divergence(_ point: JSONValue) -> Double { point["mean_kl"]?.doubleValue ?? 0 }
    guard let worst = measured.max(by: { divergence($0.1) < divergence($1.1) }) else { return "" }
    return "; mean KL \(number(worst.1["mean_kl"], 4)), agreement "
      + percent(worst.1["agreement"], 1) + (own.isEmpty ? " in \(worst.0)" : "")
  }

  private static func choice(_ model: VTWMFile, _ record: JSONValue) -> String {
    let criterion = record["criterion"]
    var page = "K = \(number(record["k"])) of \(number(record["layers"]))"
    page += ", by KL(\(string(criterion?["direction"]))) over "
    page += "\(number(criterion?["answer_tokens"])) answer tokens, seed "
    page += "\(string(criterion?["seed"]))\n"
    let used = model.schedule.profiles[model.schedule.defaultProfile].withdrawalLayer
    if let k = record["k"]?.integerValue, k != used {
      page += "  but the default profile withdraws at K = \(used), which was set by hand\n"
    }
    return page
  }

  private static func curve(_ task: JSONValue) -> String {
    var page = "\n\(string(task["name"])): \(number(task["samples"])) samples, "
    page += "\(number(task["positions"])) positions, \(number(task["holdout"])) held out"
    if task["k"] != nil { page += "; alone it would take K = \(number(task["k"]))" }
    var table = TextTable(columns: [4, 10, 20, 10, 10, 10, 16, 12, 10])
    table.add([
      "K", "mean KL", "95 %", "p95", "max", "agree", "95 %", "held out KL", "agree",
    ])
    let heldOut = task["holdout_curve"]?.arrayValue ?? []
    for (index, point) in (task["curve"]?.arrayValue ?? []).enumerated() {
      let check = heldOut.indices.contains(index) ? heldOut[index] : .null
      table.add([
        number(point["k"]), number(point["mean_kl"], 5), range(point["mean_kl_interval"], 5),
        number(point["p95_kl"], 5), number(point["max_kl"], 4), percent(point["agreement"], 1),
        range(point["agreement_interval"], 3), number(check["mean_kl"], 5),
        percent(check["agreement"], 1),
      ])
    }
    return page + "\n" + table.text
  }

  private static func thresholds(_ rows: [JSONValue]) -> String {
    guard !rows.isEmpty else { return "" }
    var table = TextTable(columns: [10, 4, 9, 9, 11, 10, 9, 12, 9])
    table.add([
      "eta", "K", "FLOPs", "KV rows", "KV bytes", "mean KL", "agree", "held out KL", "agree",
    ])
    for row in rows {
      table.add([
        number(row["eta"]), number(row["k"]), percent(row["flops_ratio"], 0),
        percent(row["kv_ratio"], 0), row["kv_bytes"]?.integerValue.map(byteText) ?? "-",
        number(row["mean_kl"], 5), percent(row["agreement"], 1),
        number(row["holdout_mean_kl"], 5), percent(row["holdout_agreement"], 1),
      ])
    }
    return "\nif the threshold were another (vtwrun --eta)\n" + table.text
  }

  /// What packing costs by itself, and withdrawal beside it.
  private static func packing(_ record: JSONValue) -> String {
    let tasks = ((record["tasks"]?.arrayValue ?? []) + [record["pooled"] ?? .null])
      .filter { $0["packing"] != nil }
    guard !tasks.isEmpty else { return "" }
    let names = tasks.map { string($0["name"]) }
    var table = TextTable(columns: [max(4, names.map(\.count).max() ?? 0), 10, 20, 10, 10, 10, 12])
    table.add(["task", "mean KL", "95 %", "p95", "max", "agree", "withdrawal"])
    for (name, task) in zip(names, tasks) {
      let cost = task["packing"]
      let curve = task["curve"]?.arrayValue ?? []
      let k = record["k"]?.integerValue ?? -1
      table.add([
        name, number(cost?["mean_kl"], 5), range(cost?["mean_kl_interval"], 5),
        number(cost?["p95_kl"], 5), number(cost?["max_kl"], 4), percent(cost?["agreement"], 1),
        curve.indices.contains(k) ? number(curve[k]["mean_kl"], 5) : "-",
      ])
    }
    return
      "\nwhat packing costs without withdrawal, KL(\(string(record["packing"]?["encoding"])) ‖ "
      + "\(string(record["packing"]?["source"]))), and withdrawal at K on the same samples\n"
      + table.text
  }

  private static func layerCosts(_ rows: [JSONValue]) -> String {
    guard !rows.isEmpty else { return "" }
    var table = TextTable(columns: [4, 9, 9, 11, 12])
    table.add(["K", "FLOPs", "KV rows", "KV bytes", "worst KL"])
    for row in rows where row["pareto"]?.boolValue == true {
      table.add([
        number(row["k"]), percent(row["flops_ratio"], 0), percent(row["kv_ratio"], 0),
        row["kv_bytes"]?.integerValue.map(byteText) ?? "-", number(row["worst_mean_kl"], 5),
      ])
    }
    return "\nwhat a budget buys: no cheaper K loses as little in its worst task\n" + table.text
  }

  // MARK: Members of a record

  private static func texts(_ value: JSONValue?) -> [String] {
    (value?.arrayValue ?? []).map { string($0) }
  }

  static func string(_ value: JSONValue?) -> String {
    value?.stringValue.map { printable($0, limit: 1000) } ?? "-"
  }

  static func number(_ value: JSONValue?, _ places: Int? = nil) -> String {
    if let integer = value?.integerValue { return String(integer) }
    guard let value = value?.doubleValue else { return "-" }
    return places.map { fixed(value, $0) } ?? "\(value)"
  }

  static func percent(_ value: JSONValue?, _ places: Int) -> String {
    value?.doubleValue.map { fixed(100 * $0, places) + " %" } ?? "-"
  }

  private static func range(_ value: JSONValue?, _ places: Int) -> String {
    guard let bounds = value?.arrayValue, bounds.count == 2 else { return "-" }
    return "\(number(bounds[0], places))...\(number(bounds[1], places))"
  }
}
