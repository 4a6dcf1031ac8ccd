import TensorCore

/// What withdrawal costs beside what packing the weights costs.
extension ReportPage {
  var packing: Markup {
    let tasks = (record.tasks + (record.pooled.map { [$0] } ?? [])).filter { $0.packing != nil }
    guard !tasks.isEmpty else { return .nothing }
    let encoding = record.packing.map { printable($0.encoding) } ?? "packed weights"
    let source = record.packing.map { printable($0.source) } ?? "the source"
    let rows = tasks.map { task in
      let withdrawn = usedK < record.layerCount ? task.point(usedK)?.meanKL : 0
      return row(
        [
          printable(task.name), nats(withdrawn), nats(task.packing?.meanKL),
          ratio(withdrawn, task.packing?.meanKL),
          percent(usedK < record.layerCount ? task.point(usedK)?.agreement : 1),
          percent(task.packing?.agreement),
        ],
        ranges: [
          1: usedK < record.layerCount ? interval(task.point(usedK)?.meanInterval) : "",
          2: interval(task.packing?.meanInterval),
        ])
    }
    var intro =
      "The same statistic on the same samples: withdrawal at K = \(usedK) against the packed "
    intro +=
      "model without it, and \(encoding) weights against \(source), both without withdrawal. "
    intro += comparison(tasks.last, encoding)
    return section(
      "Withdrawal beside quantisation",
      [
        tag("p", .text(intro)),
        table(
          [
            "task", "mean KL: withdrawal", "mean KL: \(encoding)", "withdrawal costs",
            "agreement: withdrawal", "agreement: \(encoding)",
          ], rows),
      ])
  }

  private func ratio(_ a: Double?, _ b: Double?) -> String {
    guard let a, let b, b > 0 else { return "-" }
    return "\(fixed(a / b, 2)) ×"
  }

  /// The last row in words.
  private func comparison(_ task: CalibrationRecord.Task?, _ encoding: String) -> String {
    guard usedK < record.layerCount, let task, let a = task.point(usedK)?.meanKL,
      let b = task.packing?.meanKL, b > 0
    else { return "" }
    return "Over all samples withdrawal costs \(fixed(a / b, 2)) times what \(encoding) costs."
  }
}
