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
      y: .shares([], fromZero: true), series: series, choice: usedK)
    let loss = lossOverWork
    var content = [
      tag(
        "p",
        """
        Calculated for a prompt of one image and 64 rows of text. The vision tower runs before, and \
        costs the same at every K.
        """),
      tag("div", ["class": "charts wide"], tag("figure", chart.markup), loss),
      LineChart.legend(series.map { ($0.name, $0.style) }),
    ]
    if let times { content += timing(times) }
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
  private var lossOverWork: Markup {
    let best = record.costs.filter(\.isPareto)
    guard !best.isEmpty else { return .nothing }
    return tag(
      "figure",
      table(
        ["what a budget buys", "FLOPs", "KV bytes", "worst mean KL"],
        best.map { cost in
          row(
            [
              "K = \(cost.k)", percent(cost.operations, 0),
              cost.keyValueBytes.map(byteText) ?? "-", nats(cost.worstMeanKL),
            ], isChosen: cost.k == usedK)
        }),
      tag("figcaption", "Rows that no cheaper K matches in its worst task."))
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
    let full = median(times.points.last?.seconds ?? [])
    guard full > 0 else { return LineChart.Series(name: "", style: style, points: []) }
    return LineChart.Series(
      name: "time of the prefill, measured (bars: least to greatest)", style: style,
      points: times.points.map {
        ($0.k, median($0.seconds) / full, "K = \($0.k): \(timeText(median($0.seconds)))")
      },
      intervals: times.points.compactMap { point in
        guard let least = point.seconds.min(), let greatest = point.seconds.max() else {
          return nil
        }
        return (point.k, least / full...greatest / full)
      }, hasLine: false)
  }

  private func timing(_ times: PrefillTimes) -> [Markup] {
    let full = median(times.points.last?.seconds ?? [])
    let rounds = times.points.first?.seconds.count ?? 0
    var intro = "One sample of the set, \(printable(times.sample)), with \(times.visualRows) visual "
    intro += "and \(times.textRows) text rows; \(times.engine); "
    intro += rounds == 1 ? "one round" : "medians of \(rounds) interleaved rounds"
    intro += ", whatever else the machine did. Vision tower and projector took "
    intro += "\(timeText(times.visionSeconds)) before."
    return [
      tag("h3", "Measured on this machine"), tag("p", .text(intro)),
      table(
        ["K", "prefill", "least … greatest", "of the full prefill", "FLOPs of this prompt"],
        times.points.map { point in
          let range = [point.seconds.min() ?? 0, point.seconds.max() ?? 0].map(timeText)
          return row(
            [
              point.k == record.layerCount ? "\(point.k) (never)" : String(point.k),
              timeText(median(point.seconds)), range.joined(separator: " … "),
              percent(full > 0 ? median(point.seconds) / full : nil, 0),
              percent(point.operations, 0),
            ], isChosen: point.k == usedK, ranges: [2])
        }),
    ]
  }
}
