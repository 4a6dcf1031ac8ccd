import TensorCore

/// What the charts say, in numbers.
extension ReportPage {
  /// A table whose first column is to the left.
  func table(_ head: [String], _ rows: [[Markup]]) -> Markup {
    tag(
      "div", ["class": "scroll"],
      tag(
        "table", tag("thead", tag("tr", [:], head.map { tag("th", .text($0)) })),
        tag("tbody", [:], rows.map { .group($0) })))
  }

  /// A row of cells.
  ///
  /// - Parameter ranges: the interval of a cell, by its column; it stands below.
  func row(_ cells: [String], isChosen: Bool = false, ranges: [Int: String] = [:]) -> [Markup] {
    let cells = cells.enumerated().map { index, cell in
      let range = ranges[index] ?? ""
      return tag("td", .text(cell), range.isEmpty ? .nothing : tag("small", .text(range)))
    }
    return [isChosen ? tag("tr", ["class": "chosen"], cells) : tag("tr", [:], cells)]
  }

  /// The chosen K on the samples that chose it, and on those kept apart.
  var heldOut: Markup {
    let tasks = record.tasks + (record.pooled.map { [$0] } ?? [])
    guard usedK < record.layerCount, tasks.contains(where: { !$0.heldOutCurve.isEmpty }) else {
      return .nothing
    }
    let rows = tasks.map { task in
      let (chosen, apart) = (task.point(usedK), task.heldOutPoint(usedK))
      return row(
        [
          printable(task.name), task.k.map(String.init) ?? "-",
          task.samples.map(String.init) ?? "-", nats(chosen?.meanKL), percent(chosen?.agreement),
          String(task.heldOutSamples), nats(apart?.meanKL), percent(apart?.agreement),
          verdict(apart),
        ],
        ranges: [
          3: interval(chosen?.meanInterval),
          4: interval(chosen?.agreementInterval, isShare: true),
          6: interval(apart?.meanInterval), 7: interval(apart?.agreementInterval, isShare: true),
        ])
    }
    var intro = "At K = \(usedK). Samples kept apart had no part in the choice"
    intro += record.rule == "budget" ? "." : "; where they miss the criterion, K moves up."
    intro += " Small print: 95 % confidence."
    return section(
      "On samples kept apart",
      [
        tag("p", .text(intro)),
        table(
          [
            "task", "K alone", "samples", "mean KL", "agreement", "kept apart",
            "mean KL", "agreement", "verdict",
          ], rows),
      ])
  }

  /// Whether held-out samples pass, for rules that ask each task for mean KL and agreement.
  private func verdict(_ point: CalibrationRecord.Point?) -> String {
    guard record.rule == "sustained", let eta = record.eta, let kl = point?.meanKL,
      let agreement = point?.agreement
    else { return "-" }
    return kl <= eta && agreement >= record.agreement ?? 0 ? "holds" : "misses"
  }

  /// Thresholds that lead to the same K share a row.
  var thresholds: Markup {
    guard !record.thresholds.isEmpty else { return .nothing }
    var rows: [[Markup]] = []
    var rest = record.thresholds[...]
    while let first = rest.first {
      let same = rest.prefix { $0.k == first.k }
      rest = rest.dropFirst(same.count)
      let last = same.last?.eta ?? first.eta
      rows.append(
        row(
          [
            last > first.eta ? "\(first.eta) … \(last)" : "\(first.eta)", String(first.k),
            percent(first.operations, 0), percent(first.keyValue, 0),
            first.keyValueBytes.map(byteText) ?? "-", nats(first.meanKL), percent(first.agreement),
            nats(first.heldOutMeanKL), percent(first.heldOutAgreement),
          ], isChosen: first.k == usedK))
    }
    return section(
      "If the threshold were another",
      [
        tag(
          "p",
          """
          The same rule by KL alone; vtwrun --eta takes any of these rows at run time. KL and \
          agreement count all tasks together.
          """),
        table(
          [
            "eta, nats", "K", "FLOPs", "KV rows", "KV bytes", "mean KL", "agreement",
            "kept apart: mean KL", "agreement",
          ], rows),
      ])
  }

  /// Every curve in numbers, folded away.
  var allNumbers: Markup {
    let tasks = record.tasks + (record.pooled.map { [$0] } ?? [])
    return .group(
      tasks.filter { !$0.curve.isEmpty }.map { task in
        let rows = task.curve.map { point in
          let apart = task.heldOutPoint(point.k)
          return row(
            [
              String(point.k), nats(point.meanKL), nats(point.p95KL), nats(point.maxKL),
              percent(point.agreement), nats(apart?.meanKL), percent(apart?.agreement),
            ], isChosen: point.k == usedK,
            ranges: [
              1: interval(point.meanInterval),
              4: interval(point.agreementInterval, isShare: true),
              5: interval(apart?.meanInterval),
              6: interval(apart?.agreementInterval, isShare: true),
            ])
        }
        return tag(
          "details", tag("summary", .text("\(printable(task.name)): all numbers")),
          table(
            [
              "K", "mean KL", "95th percentile", "greatest", "agreement", "kept apart: mean KL",
              "agreement",
            ], rows))
      })
  }
}
