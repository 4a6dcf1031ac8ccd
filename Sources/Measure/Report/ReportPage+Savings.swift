import TensorCore

/// What each K costs and spares.
extension ReportPage {
  var savings: Markup {
    guard !record.costs.isEmpty else { return .nothing }
    let (work, rows, time) = (
      ChartStyle(index: 0), ChartStyle(index: 2), ChartStyle(index: 1)
    )
    var series = [
      shares("FLOPs of the prefill, calculated", work, \.operations),
      shares("rows of keys and values, calculated", rows, \.keyValue),
    ]
    if let times { series.append(measured(times, time)) }
    let chart = LineChart(
      title: "Cost over the withdrawal layer K, as shares of the full model",
      layerCount: record.layerCount, yTitle: "share of what no withdrawal costs",
      y: .shares(series.flatMap { $0.points.map(\.value) }, fromZero: true), series: series,
      choice: usedK)
    var content = [
      tag(
        "p",
        """
        Calculated for a prompt of one image and 64 rows of text. The vision tower runs before, and \
        costs the same at every K.
        """),
      tag(
        "div", ["class": "charts wide"],
        tag("figure", chart.markup, LineChart.legend(series)),
        times.map(timing) ?? budgets),
    ]
    if times != nil {
      content.append(tag("details", tag("summary", "What a budget buys"), budgets))
    }
    content.append(
      tag(
        "details", tag("summary", "Every K in numbers"),
        table(
          ["K", "FLOPs", "KV rows", "KV bytes", "worst task's mean KL", "worst task"],
          record.costs.map { cost in
            row(
              [
                String(cost.k), percent(cost.operations), percent(cost.keyValue),
                cost.keyValueBytes.map(byteText) ?? "-", nats(cost.worstMeanKL),
                cost.worstTask.map { printable($0) } ?? "-",
              ], isChosen: cost.k == usedK)
          })))
    return section("What it saves", content)
  }

  /// What a budget buys: each K that no cheaper one matches.
  private var budgets: Markup {
    let best = record.costs.filter(\.isPareto)
    guard !best.isEmpty else { return .nothing }
    return tag(
      "figure",
      table(
        ["K", "FLOPs", "KV bytes", "worst mean KL"],
        best.map { cost in
          row(
            [
              String(cost.k), percent(cost.operations, 0),
              cost.keyValueBytes.map(byteText) ?? "-", nats(cost.worstMeanKL),
            ], isChosen: cost.k == usedK)
        }),
      tag("figcaption", "Each K that loses less in its worst task than any cheaper one."))
  }

  private func shares(
    _ name: String, _ style: ChartStyle, _ share: KeyPath<CalibrationRecord.Cost, Double?>
  ) -> LineChart.Series {
    LineChart.Series(
      name: name, style: style,
      points: record.costs.compactMap { cost in
        cost[keyPath: share].map { (cost.k, $0, "K = \(cost.k): \(percent($0))") }
      })
  }

  private func measured(_ times: PrefillTimes, _ style: ChartStyle) -> LineChart.Series {
    let full = times.points.last?.least ?? 0
    guard full > 0 else { return LineChart.Series(name: "", style: style) }
    return LineChart.Series(
      name: "time of the prefill, measured (bars: up to the median)", style: style,
      points: times.points.map {
        ($0.k, $0.least / full, "K = \($0.k): \(timeText($0.least))")
      },
      intervals: times.points.map { ($0.k, $0.least / full...median($0.seconds) / full) },
      hasLine: false)
  }

  private func timing(_ times: PrefillTimes) -> Markup {
    let full = times.points.last?.least ?? 0
    let rounds = times.points.first?.seconds.count ?? 0
    var note = "Measured on one sample of the set, \(printable(times.sample)), with "
    note += "\(times.visualRows) visual and \(times.textRows) text rows; \(times.engine); "
    note +=
      rounds == 1
      ? "once, whatever else the machine did"
      : "the least of \(rounds) interleaved rounds, in small print their median"
    if times.isDisturbed { note += "; they differ much, as on a busy machine" }
    note += ". Vision tower and projector took \(timeText(times.visionSeconds)) before."
    return tag(
      "figure",
      table(
        ["K", "prefill, measured", "of the full prefill", "FLOPs of this prompt, calculated"],
        times.points.map { point in
          row(
            [
              point.k == record.layerCount ? "\(point.k) (never)" : String(point.k),
              timeText(point.least), percent(full > 0 ? point.least / full : nil, 0),
              percent(point.operations, 0),
            ], isChosen: point.k == usedK,
            ranges: rounds > 1 ? [1: timeText(median(point.seconds))] : [:])
        }),
      tag("figcaption", .text(note)))
  }
}
