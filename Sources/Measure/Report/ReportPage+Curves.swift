import TensorCore

/// KL and agreement over K.
extension ReportPage {
  // A page of more charts is not read; the numbers of every task stand in the tables.
  private static let mostPanels = 24

  var curves: Markup {
    guard record.tasks.contains(where: { !$0.curve.isEmpty }) else { return .nothing }
    var intro =
      "How far the next-token distribution moves if visual rows leave at layer K, and how often the "
      + "most likely token stays the same. "
    if let eta = record.eta { intro += "The dotted line is the threshold, \(eta) nats. " }
    intro += "Lower is better on the left, higher on the right."
    var content = [tag("p", .text(intro)), overview]
    if record.tasks.count > 1 || record.tasks.contains(where: { !$0.heldOutCurve.isEmpty }) {
      content.append(panels)
    }
    return section("What withdrawal changes, task by task", content)
  }

  /// Every task by what it alone would take, the latest first; equals in the record's order.
  private var tasksByLayer: [CalibrationRecord.Task] {
    record.tasks.enumerated().sorted {
      (-($0.element.k ?? 0), $0.offset) < (-($1.element.k ?? 0), $1.offset)
    }.map(\.element)
  }

  private var overview: Markup {
    let tasks = Array(tasksByLayer.prefix(ChartStyle.count))
    let styles = tasks.indices.map { ChartStyle(index: $0) }
    let loss = LineChart(
      title: "Mean KL over the withdrawal layer K, one line per task",
      layerCount: record.layerCount,
      yTitle: "mean KL, nats (powers of ten)", y: divergenceAxis(tasks),
      series: zip(tasks, styles).map { divergences($0.name, $0.curve, $1) }, bound: threshold,
      choice: usedK)
    let agreement = LineChart(
      title: "Share of equal top-1 tokens over the withdrawal layer K, one line per task",
      layerCount: record.layerCount, yTitle: "same top-1 token",
      y: .shares(tasks.flatMap { $0.curve.compactMap(\.agreement) }, fromZero: false),
      series: zip(tasks, styles).map { agreements($0.name, $0.curve, $1) }, bound: leastAgreement,
      choice: usedK)
    var legend = LineChart.legend(
      zip(tasks, styles).map { task, style in
        LineChart.Series(
          name: printable(task.name) + (task.k.map { ", alone K = \($0)" } ?? ""), style: style)
      })
    if record.tasks.count > tasks.count {
      legend = .group([
        legend,
        tag(
          "p", ["class": "soft"],
          "Drawn are the \(tasks.count) tasks that need the image longest, of \(record.tasks.count)."
        ),
      ])
    }
    return .group([
      tag(
        "div", ["class": "charts wide"], tag("figure", loss.markup), tag("figure", agreement.markup)
      ),
      legend,
    ])
  }

  /// One chart per task, with confidence and the samples that were kept apart.
  private var panels: Markup {
    let tasks = Array(tasksByLayer.prefix(Self.mostPanels))
    let axis = divergenceAxis(tasks)
    let (chosen, heldOut) = (ChartStyle(index: 0), ChartStyle(index: 1))
    let figures = tasks.map { task in
      var measured = divergences("samples that chose", task.curve, chosen)
      measured.intervals = task.curve.compactMap { point in
        point.meanInterval.map { (k: point.k, range: $0) }
      }
      let chart = LineChart(
        title: "Mean KL of \(printable(task.name)) over K", layerCount: record.layerCount,
        yTitle: "mean KL, nats", y: axis,
        series: [measured]
          + (task.heldOutCurve.isEmpty
            ? [] : [divergences("held out", task.heldOutCurve, heldOut)]),
        bound: threshold, choice: usedK)
      var caption = "\(task.samples.map { counted($0, "sample") } ?? "-")"
      if let positions = task.positions { caption += ", \(counted(positions, "answer position"))" }
      if task.heldOutSamples > 0 { caption += ", \(task.heldOutSamples) held out" }
      if let k = task.k { caption += "; alone it takes K = \(k)" }
      return tag(
        "figure", tag("h3", .text(printable(task.name))), chart.markup,
        tag("figcaption", .text(caption)))
    }
    var legend = [
      LineChart.Series(name: "samples that chose K, shaded: 95 % confidence", style: chosen)
    ]
    if tasks.contains(where: { !$0.heldOutCurve.isEmpty }) {
      legend.append(LineChart.Series(name: "samples kept apart", style: heldOut))
    }
    return .group([LineChart.legend(legend), tag("div", ["class": "charts"], figures)])
  }

  var threshold: (value: Double, label: String)? {
    record.rule == "budget" ? nil : record.eta.map { ($0, "eta \($0)") }
  }

  var leastAgreement: (value: Double, label: String)? {
    guard let share = record.agreement, share > 0, record.rule != "budget" else { return nil }
    return (share, "at least \(fixed(100 * share, 1)) %")
  }

  private func divergenceAxis(_ tasks: [CalibrationRecord.Task]) -> Axis {
    .powers(
      tasks.flatMap { ($0.curve + $0.heldOutCurve).compactMap(\.meanKL) }
        + (record.eta.map { [$0] } ?? []))
  }

  private func divergences(
    _ name: String, _ curve: [CalibrationRecord.Point], _ style: ChartStyle
  ) -> LineChart.Series {
    LineChart.Series(
      name: name, style: style,
      points: curve.compactMap { point in
        point.meanKL.map { (point.k, $0, "\(printable(name)), K = \(point.k): \(nats($0)) nats") }
      })
  }

  private func agreements(
    _ name: String, _ curve: [CalibrationRecord.Point], _ style: ChartStyle
  ) -> LineChart.Series {
    LineChart.Series(
      name: name, style: style,
      points: curve.compactMap { point in
        point.agreement.map { (point.k, $0, "\(printable(name)), K = \(point.k): \(percent($0))") }
      })
  }
}
