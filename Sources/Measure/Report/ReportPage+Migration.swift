import TensorCore

/// Where the image goes: attention by class of row, and the change of the text rows, layer by layer.
extension ReportPage {
  // Columns of the heat map over tasks; more do not fit a page.
  private static let mostColumns = 8

  var migration: Markup {
    guard let pooled = record.pooled,
      pooled.questionMigration != nil || pooled.answerMigration != nil
    else { return .nothing }
    let groups = [
      ("Question rows", pooled.questionMigration), ("Answer rows", pooled.answerMigration),
    ].compactMap { name, rows in rows.map { (name: name, rows: $0) } }
    var figures = groups.filter { !$0.rows.shares.isEmpty }.map { attention($0.name, $0.rows) }
    figures.append(change(groups))
    return section(
      "Where the image goes",
      [
        tag(
          "p",
          """
          What the text rows behind the image look at in each layer of the full model; and how much \
          they change, relative to their size, if this one layer has to do without the image. Where the \
          change is small, the text rows hold what they need, whatever they still look at.
          """),
        LineChart.legend(
          Self.classStyles.map {
            LineChart.Series(name: Self.title($0.name), style: $0.style)
          }),
        tag("div", ["class": "charts"], figures), heatMap(groups), taskHeatMap,
      ])
  }

  private static let classStyles = ["system", "visual", "question", "answer"].enumerated().map {
    place, name in (name: name, style: ChartStyle(index: [3, 1, 0, 2][place]))
  }

  /// "visual" rows are the image for people.
  private static func title(_ name: String) -> String { name == "visual" ? "image" : name }

  private func attention(_ name: String, _ rows: CalibrationRecord.Migration) -> Markup {
    let series = Self.classStyles.compactMap { entry in
      Self.seen(rows).first { $0.name == entry.name }.map { share in
        LineChart.Series(
          name: entry.name, style: entry.style,
          points: share.byLayer.enumerated().map { layer, value in
            (layer, value, "\(Self.title(entry.name)), layer \(layer): \(percent(value))")
          })
      }
    }
    let chart = LineChart(
      title: "\(name): shares of attention by layer", layerCount: record.layerCount,
      xTitle: "decoder layer", yTitle: "share of attention", y: .shares([], fromZero: true),
      series: series, choice: usedK)
    return tag("figure", tag("h3", .text("\(name) look at")), chart.markup)
  }

  private func change(
    _ groups: [(name: String, rows: CalibrationRecord.Migration)]
  ) -> Markup {
    let known = groups.filter { !$0.rows.change.isEmpty }
    guard !known.isEmpty else { return .nothing }
    let styles = [ChartStyle(index: 0), ChartStyle(index: 2)]
    let series = zip(known, styles).map { group, style in
      LineChart.Series(
        name: group.name, style: style,
        points: group.rows.change.enumerated().map { layer, value in
          (layer, value, "\(group.name), layer \(layer): \(fixed(value, 4))")
        })
    }
    let chart = LineChart(
      title: "Relative change of text rows by one layer without the image",
      layerCount: record.layerCount, xTitle: "decoder layer",
      yTitle: "relative change (powers of ten)", y: .powers(known.flatMap(\.rows.change)),
      series: series, choice: usedK)
    return tag(
      "figure", tag("h3", "Change by one layer without the image"), chart.markup,
      LineChart.legend(series))
  }

  /// Every number of the charts, shaded: a table per group.
  private func heatMap(_ groups: [(name: String, rows: CalibrationRecord.Migration)]) -> Markup {
    tag(
      "div", ["class": "charts wide"],
      groups.map { name, rows in
        var columns = Self.seen(rows).map { share in
          (title: Self.title(share.name), values: share.byLayer, isShare: true)
        }
        if !rows.change.isEmpty {
          columns.append((title: "change", values: rows.change, isShare: false))
        }
        let count = rows.rowCount.map { " (\($0))" } ?? ""
        return heatTable(
          columns, caption: "\(name)\(count), all tasks: attention in percent, relative change.")
      })
  }

  /// Classes that the rows see at all: questions come before answers.
  private static func seen(
    _ rows: CalibrationRecord.Migration
  ) -> [(name: String, byLayer: [Double])] {
    rows.shares.filter { $0.byLayer.contains { $0 > 0 } }
  }

  /// The answer's attention to the image, task by task.
  private var taskHeatMap: Markup {
    let tasks = record.tasks.compactMap { task in
      task.answerMigration?.shares.first { $0.name == "visual" }.map {
        (title: printable(task.name, limit: 40), values: $0.byLayer, isShare: true)
      }
    }
    guard tasks.count > 1 else { return .nothing }
    var caption = "The answer rows' attention to the image in percent, task by task."
    if tasks.count > Self.mostColumns {
      caption += " Shown are the first \(Self.mostColumns) of \(tasks.count)."
    }
    return heatTable(Array(tasks.prefix(Self.mostColumns)), caption: caption)
  }

  /// Layers down, with the one where visual rows leave marked.
  private func heatTable(
    _ columns: [(title: String, values: [Double], isShare: Bool)], caption: String
  ) -> Markup {
    let scales = columns.map { $0.isShare ? 1 : max($0.values.max() ?? 0, 1e-12) }
    let rows = (0..<record.layerCount).map { layer in
      var cells = [tag("td", .text(layer == usedK ? "\(layer) = K" : String(layer)))]
      for (column, scale) in zip(columns, scales) {
        let value = column.values[layer]
        let share = fixed(min(max(value / scale, 0), 1), 3)
        cells.append(
          tag(
            "td", ["class": "heat", "style": "--share: \(share)"],
            .text(column.isShare ? fixed(100 * value, 1) : fixed(value, 4))))
      }
      return [layer == usedK ? tag("tr", ["class": "chosen"], cells) : tag("tr", [:], cells)]
    }
    return tag(
      "figure", tag("figcaption", .text(caption)), table(["layer"] + columns.map(\.title), rows))
  }
}
