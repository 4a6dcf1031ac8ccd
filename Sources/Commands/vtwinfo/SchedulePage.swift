import Architecture
import CommandSupport
import TensorCore

/// Schedules beyond withdrawal, for a terminal: what they cost against what they keep.
enum SchedulePage {
  static func text(_ record: JSONValue, layerCount: Int) -> String {
    guard let schedules = record["schedules"], let points = schedules["points"]?.arrayValue
    else { return "" }
    let chosen = schedules["chosen"] ?? .null
    var page =
      "\nschedules beyond withdrawal (\(CalibrationPage.string(schedules["method"])), by "
      + "\(CalibrationPage.string(schedules["objective"]))): '\(CalibrationPage.string(chosen["name"]))' "
      + "was chosen, \(CalibrationPage.percent(chosen["set_flops_ratio"], 1)) of the FLOPs of the set's prompts\n"
    var tasks = TextTable(columns: [20, 10, 10, 13, 10])
    tasks.add(["task", "mean KL", "agree", "held out KL", "agree"])
    for task in chosen["tasks"]?.arrayValue ?? [] {
      tasks.add([
        CalibrationPage.string(task["name"]), CalibrationPage.number(task["mean_kl"], 5),
        CalibrationPage.percent(task["agreement"], 1),
        CalibrationPage.number(task["holdout_mean_kl"], 5),
        CalibrationPage.percent(task["holdout_agreement"], 1),
      ])
    }
    page += tasks.text
    page +=
      "\nwhat each loses: no cheaper one keeps as much (x: withdrawal only, o: freezes first, *: chosen)\n"
    page += picture(points, chosen)
    let width = max(8, layerCount)
    var table = TextTable(columns: [2, width + 2, 9, 9, 12, 10, 13, 10])
    table.add(["", "layers", "FLOPs", "KV rows", "worst KL", "agree", "held out KL", "agree"])
    for point in points where point["pareto"]?.boolValue == true || isSame(point, chosen) {
      table.add([
        mark(point, chosen), bar(point, layerCount),
        CalibrationPage.percent(point["flops_ratio"], 0),
        CalibrationPage.percent(point["kv_ratio"], 0),
        CalibrationPage.number(point["worst_mean_kl"], 5),
        CalibrationPage.percent(point["least_agreement"], 1),
        CalibrationPage.number(point["holdout_worst_mean_kl"], 5),
        CalibrationPage.percent(point["holdout_least_agreement"], 1),
      ])
    }
    return page + table.text
  }

  private static func isSame(_ a: JSONValue, _ b: JSONValue) -> Bool {
    ["freeze", "withdraw", "updated"].allSatisfy { a[$0] == b[$0] }
  }

  private static func isWithdrawal(_ point: JSONValue) -> Bool {
    point["updated"] == nil && point["freeze"] == point["withdraw"]
  }

  private static func mark(_ point: JSONValue, _ chosen: JSONValue) -> String {
    isSame(point, chosen) ? "*" : isWithdrawal(point) ? "x" : "o"
  }

  /// The layers of a point as marks; empty if the record does not say them.
  private static func bar(_ point: JSONValue, _ layerCount: Int) -> String {
    let states = ScheduleProfile.states(point, layerCount: layerCount) ?? []
    return String(states.map(\.mark))
  }

  private static let columns = 60
  // Worst mean KL of each line of the picture, in nats: thirds of decades around thresholds of use.
  private static let levels = [1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0]

  /// Cost to the right, loss upwards.
  private static func picture(_ points: [JSONValue], _ chosen: JSONValue) -> String {
    var lines = levels.map { _ in [Character](repeating: " ", count: columns + 1) }
    // Later ones win: the chosen one over those that freeze over withdrawal.
    let order = ["x": 0, "o": 1, "*": 2]
    let sorted = points.sorted {
      (order[mark($0, chosen)] ?? 0) < (order[mark($1, chosen)] ?? 0)
    }
    for point in sorted {
      guard let share = point["flops_ratio"]?.doubleValue,
        let loss = point["worst_mean_kl"]?.doubleValue, (0...1).contains(share),
        let line = levels.firstIndex(where: { loss >= $0 })
      else { continue }
      lines[line][Int((share * Double(columns)).rounded())] = Character(mark(point, chosen))
    }
    var page = ""
    for (level, line) in zip(levels, lines) {
      let label = level == 0 ? "less" : "\(level)"
      page +=
        String(repeating: " ", count: max(0, 8 - label.count)) + label + " |"
        + String(line) + "\n"
    }
    let axis = String(repeating: "-", count: columns + 1)
    return page + "worst KL +\(axis)\n" + "         0 %" + String(repeating: " ", count: 24)
      + "50 %" + String(repeating: " ", count: 23) + "100 % of the FLOPs\n"
  }
}
