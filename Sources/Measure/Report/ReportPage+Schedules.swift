import Architecture
import TensorCore

/// Schedules that freeze visual rows before they leave: cost against quality.
extension ReportPage {
  private typealias Point = CalibrationRecord.Schedules.Point

  var schedules: Markup {
    guard let found = record.schedules, !found.points.isEmpty else { return .nothing }
    let named = namedPoints(found)
    let freezing = found.points.count { $0.profile.freezesRows }
    var intro =
      "Visual rows may freeze before they leave: they go on giving keys and values, but are not "
      + "updated. Each point is a way to run the model that was measured: withdrawal at every K, and "
    intro += counted(freezing, "schedule") + (freezing == 1 ? " that freezes" : " that freeze")
    intro += found.isExhaustive ? ", all there are. " : ". "
    intro +=
      "The line goes over those that lose less KL than any cheaper one; the rings are in use. "
    intro +=
      "Lower is better on the left, higher on the right; each is of the task that loses most."
    return section(
      "Schedules beyond withdrawal",
      [
        tag("p", .text(intro)),
        tag(
          "div", ["class": "charts wide"],
          tag("figure", losses(found, named).markup),
          tag("figure", agreements(found, named).markup)),
        Self.frontLegend(hasFreezing: freezing > 0),
        tag(
          "div", ["class": "charts wide"],
          tag(
            "figure", tag("h3", "Layer by layer"),
            LayerBars(
              rows: named.map { (barTitle($0.name, $0.point), $0.point.states) },
              layerCount: record.layerCount
            ).markup, LayerBars.legend),
          chosenTasks(found)),
        ownSchedules(found),
        tag(
          "details", tag("summary", "The front in numbers"), frontTable(found, named)),
      ])
  }

  /// The points in use: the default profile's K, and what was chosen; one that is both has both
  /// names.
  private func namedPoints(
    _ found: CalibrationRecord.Schedules
  ) -> [(name: String, point: Point)] {
    let used = ScheduleProfile(withdrawingAt: usedK, of: record.layerCount).visualStates
    var named: [(name: String, point: Point)] = []
    if let point = found.points.first(where: { $0.states == used }) {
      named.append(("default", point))
    }
    if let chosen = found.chosen {
      let name = printable(found.name ?? "chosen", limit: 24)
      if named.first?.point.states == chosen.states {
        named[0].name += ", \(name)"
      } else {
        named.append((name, chosen))
      }
    }
    return named
  }

  private func barTitle(_ name: String, _ point: Point) -> String {
    "\(name): \(percent(point.operations, 0)) of the FLOPs, \(percent(point.keyValue, 0)) of the KV rows"
  }

  // MARK: Charts

  private func losses(
    _ found: CalibrationRecord.Schedules, _ named: [(name: String, point: Point)]
  ) -> FrontChart {
    chart(
      found, named, title: "Worst task's mean KL over the FLOPs of the prefill",
      yTitle: "worst task's mean KL, nats (powers of ten)",
      y: .powers(
        found.points.compactMap(\.worstMeanKL) + (threshold.map { [$0.value] } ?? [])),
      bound: threshold, value: \.worstMeanKL)
  }

  private func agreements(
    _ found: CalibrationRecord.Schedules, _ named: [(name: String, point: Point)]
  ) -> FrontChart {
    // Whoever agrees less is of no use, however much less.
    chart(
      found, named, title: "Least agreement of a task over the FLOPs of the prefill",
      yTitle: "same top-1 token, in the worst task",
      y: .shares(found.points.compactMap(\.leastAgreement), fromZero: false, floor: 0.75),
      bound: leastAgreement, value: \.leastAgreement)
  }

  private func chart(
    _ found: CalibrationRecord.Schedules, _ named: [(name: String, point: Point)], title: String,
    yTitle: String, y: Axis, bound: (value: Double, label: String)?,
    value: KeyPath<Point, Double?>
  ) -> FrontChart {
    func drawn(_ point: Point, noted: Bool) -> FrontChart.Point? {
      guard let cost = point.operations, let value = point[keyPath: value] else { return nil }
      return FrontChart.Point(
        cost: cost, value: value, note: noted ? note(point) : nil)
    }
    func series(_ name: String, _ index: Int, freezing: Bool) -> FrontChart.Series {
      FrontChart.Series(
        name: name, style: ChartStyle(index: index),
        points: found.points.filter { $0.profile.freezesRows == freezing }
          // Of hundreds that freeze, only those on the front are worth a word.
          .compactMap { drawn($0, noted: !freezing || $0.isPareto) })
    }
    return FrontChart(
      title: title, yTitle: yTitle, y: y,
      series: [
        series(Self.freezingName, 2, freezing: true),
        series(Self.withdrawalName, 0, freezing: false),
      ],
      front: found.points.filter(\.isPareto).compactMap { drawn($0, noted: false) }, bound: bound,
      named: named.compactMap { name, point in drawn(point, noted: false).map { (name, $0) } })
  }

  private func note(_ point: Point) -> String {
    "\(point.profile.label): \(percent(point.operations)) of the FLOPs, worst mean KL "
      + "\(nats(point.worstMeanKL)) nats, agreement \(percent(point.leastAgreement))"
  }

  private static let withdrawalName = "withdrawal at K"
  private static let freezingName = "freezes first"

  private static func frontLegend(hasFreezing: Bool) -> Markup {
    func item(_ name: String, _ mark: Markup) -> Markup {
      tag(
        "li",
        tag(
          "svg", ["viewBox": "0 0 36 14", "width": "36", "height": "14", "aria-hidden": "true"],
          mark), " ", .text(name))
    }
    func marker(_ index: Int) -> Markup {
      let style = ChartStyle(index: index)
      return tag("path", ["class": style.markerClass, "d": style.marker(18, 7)])
    }
    return tag(
      "ul", ["class": "legend"],
      item(withdrawalName, marker(0)), hasFreezing ? item(freezingName, marker(2)) : .nothing,
      item("the front", tag("path", ["class": "front", "d": "M1 4H18V10H35"])),
      item(
        "in use", tag("circle", ["class": "choice", "cx": "18", "cy": "7", "r": "6"])))
  }

  // MARK: Numbers

  private func chosenTasks(_ found: CalibrationRecord.Schedules) -> Markup {
    guard !found.tasks.isEmpty else { return .nothing }
    let isHeldOut = found.tasks.contains { $0.heldOutMeanKL != nil }
    let rows = found.tasks.map { task in
      row(
        [printable(task.name), nats(task.meanKL), percent(task.agreement)]
          + (isHeldOut ? [nats(task.heldOutMeanKL), percent(task.heldOutAgreement)] : []))
    }
    var caption = "What \(printable(found.name ?? "the chosen schedule")) changes"
    if let share = found.setOperations {
      caption += "; in prompts like the set's it needs \(percent(share, 0)) of the FLOPs"
    }
    return tag(
      "figure", tag("h3", .text("Task by task under \(printable(found.name ?? "-"))")),
      table(
        ["task", "mean KL", "agreement"]
          + (isHeldOut ? ["kept apart: mean KL", "agreement"] : []), rows),
      tag("figcaption", .text(caption + ".")))
  }

  /// What each task alone would take, if that was looked for.
  private func ownSchedules(_ found: CalibrationRecord.Schedules) -> Markup {
    guard !found.own.isEmpty else { return .nothing }
    let isHeldOut = found.own.contains { $0.task.heldOutMeanKL != nil }
    let rows = found.own.map { own in
      row(
        [
          printable(own.name), own.point.profile.bar, percent(own.point.operations, 0),
          percent(own.point.keyValue, 0), nats(own.task.meanKL), percent(own.task.agreement),
        ]
          + (isHeldOut ? [nats(own.task.heldOutMeanKL), percent(own.task.heldOutAgreement)] : []))
    }
    return tag(
      "details", tag("summary", "What each task alone would take"),
      table(
        ["profile", "layers", "FLOPs", "KV rows", "mean KL", "agreement"]
          + (isHeldOut ? ["kept apart: mean KL", "agreement"] : []), rows))
  }

  private func frontTable(
    _ found: CalibrationRecord.Schedules, _ named: [(name: String, point: Point)]
  ) -> Markup {
    table(
      [
        "layers", "FLOPs", "KV rows", "KV bytes", "worst mean KL", "worst task", "least agreement",
        "kept apart: worst mean KL", "agreement",
      ],
      found.points.filter { point in
        point.isPareto || named.contains { $0.point.states == point.states }
      }.map { point in
        row(
          [
            point.profile.bar, percent(point.operations), percent(point.keyValue),
            point.keyValueBytes.map(byteText) ?? "-", nats(point.worstMeanKL),
            point.worstTask.map { $0.isEmpty ? "-" : printable($0) } ?? "-",
            percent(point.leastAgreement), nats(point.heldOutWorstMeanKL),
            percent(point.heldOutLeastAgreement),
          ], isChosen: named.contains { $0.point.states == point.states })
      })
  }
}
