import Architecture
import CommandSupport
import Evaluation
import Statistics
import TensorCore

/// The result for a terminal.
extension EvaluationSummary {
  var text: String {
    let profiles = profiles.map { profile in
      let schedule = profile.schedule
      return "profile \(printable(profile.name)), \(schedule.label)"
        + (schedule.freezesRows ? " \(schedule.summary)" : "") + "\n" + tables(profile.rows)
    }
    let own = ownProfiles.map { "\(printable($0.name)) profile\n" + tables($0.rows) }
    return (profiles + own).joined(separator: "\n")
      + "(…): 95 % confidence; differences and ratios are paired\n"
  }

  private func tables(_ rows: [Row]) -> String { answers(rows) + times(rows) }

  private func names(_ rows: [Row]) -> [String] {
    rows.map { "  " + printable($0.name, limit: 40) }
  }

  private func answers(_ rows: [Row]) -> String {
    let names = names(rows)
    var table = TextTable(columns: [max(10, names.map(\.count).max() ?? 0), 5, 8, 8, 21, 8, 9, 9])
    table.add(["", "n", "full %", "this %", "difference", "same %", "top-1 %", "mean KL"])
    for (name, row) in zip(names, rows) {
      table.add([
        name, String(row.count),
        percent(.full(row.correct)),
        percent(.this(row.correct)), range(.difference(row.correct)),
        percent(row.same), percent(row.tokenAgreement), value(row.meanKL, 4),
      ])
    }
    var text = table.text
    for (name, row) in zip(names, rows) {
      guard let pairs = row.correctPairs else { continue }
      text += "\(name): both questions of an image right (\(pairs.count) images), full "
      text += "\(percent(.full(pairs))) %, this "
      text += "\(percent(.this(pairs))) %, difference "
      text += "\(range(.difference(pairs)))\n"
    }
    if let rules = rows.last?.rules, !rules.isEmpty {
      let counts = rules.sorted { $0.key.rawValue < $1.key.rawValue }
        .map { "\($0.key.rawValue) (\($0.value))" }
      text += "  judged by \(counts.joined(separator: ", "))\n"
    }
    return text
  }

  private func times(_ rows: [Row]) -> String {
    let names = names(rows)
    var table = TextTable(columns: [max(10, names.map(\.count).max() ?? 0), 7, 7, 10, 10, 21, 21])
    table.add(["", "tokens", "this", "seconds", "this", "time %", "first token %"])
    for (name, row) in zip(names, rows) {
      table.add([
        name, value(row.tokensFull, 1), value(row.tokens, 1), value(row.secondsFull, 3),
        value(row.seconds, 3), range(row.secondsRatio), range(row.firstTokenRatio),
      ])
    }
    return table.text
  }

  private func value(_ estimate: Estimate, _ places: Int) -> String {
    estimate.value.map { fixed($0, places) } ?? "-"
  }

  private func percent(_ estimate: Estimate) -> String {
    estimate.value.map { fixed(100 * $0, 1) } ?? "-"
  }

  /// In percent, or percentage points.
  private func range(_ estimate: Estimate) -> String {
    percent(estimate) + interval(estimate.interval)
  }

  private func interval(_ interval: ClosedRange<Double>?) -> String {
    interval.map { " (\(fixed(100 * $0.lowerBound, 1))…\(fixed(100 * $0.upperBound, 1)))" } ?? ""
  }
}
