import Architecture
import TensorCore

/// What becomes of visual rows, layer by layer, as an SVG: a high bar where they are updated, a low one
/// where they are frozen, a line where they are gone.
struct LayerBars {
  /// Names with their schedules, all of `layerCount` layers.
  var rows: [(name: String, states: [ScheduleProfile.VisualState])]
  var layerCount: Int

  private static let (width, left, right) = (360.0, 4.0, 356.0)
  // A row: its name, and the bars below.
  private static let (row, bars) = (44.0, 18.0)

  var markup: Markup {
    let height = Double(rows.count) * Self.row + 34
    return tag(
      "svg",
      [
        "class": "chart", "role": "img",
        "viewBox": "0 0 \(coordinate(Self.width)) \(coordinate(height))",
        "aria-label": "What becomes of visual rows in each layer",
        "xmlns": "http://www.w3.org/2000/svg",
      ],
      rows.enumerated().map(draw) + ticks(below: Double(rows.count) * Self.row)
        + [
          ChartFrame.text(
            "decoder layer", (Self.left + Self.right) / 2, height - 4, "middle", "axis")
        ])
  }

  /// What the heights mean, as in the chart.
  static var legend: Markup {
    tag(
      "ul", ["class": "legend"],
      ScheduleProfile.VisualState.allCases.map { state in
        tag(
          "li",
          tag(
            "svg", ["viewBox": "0 0 14 18", "width": "14", "height": "18", "aria-hidden": "true"],
            tag("path", ["class": "rows", "d": bar(state, 0, 14, top: 0)])),
          " ", .text(meaning(state)))
      })
  }

  private static func meaning(_ state: ScheduleProfile.VisualState) -> String {
    switch state {
    case .full: "visual rows are updated"
    case .frozen: "frozen: they give keys and values only"
    case .withdrawn: "withdrawn"
    }
  }

  /// A layer's bar between `left` and `right`, `bars` high in all.
  private static func bar(
    _ state: ScheduleProfile.VisualState, _ left: Double, _ right: Double, top: Double
  ) -> String {
    let height =
      switch state {
      case .full: bars
      case .frozen: bars / 3
      case .withdrawn: 1.0
      }
    let foot = top + bars
    return "M\(coordinate(left)) \(coordinate(foot))V\(coordinate(foot - height))"
      + "H\(coordinate(right))V\(coordinate(foot))z"
  }

  private var step: Double { (Self.right - Self.left) / Double(max(1, layerCount)) }

  private func draw(
    _ index: Int, _ row: (name: String, states: [ScheduleProfile.VisualState])
  ) -> Markup {
    let top = Double(index) * Self.row
    // A gap tells layers apart where there is room for one.
    let gap = step > 6 ? 1.5 : 0
    let path = row.states.enumerated().map { layer, state in
      Self.bar(
        state, Self.left + Double(layer) * step, Self.left + Double(layer + 1) * step - gap,
        top: top + 18)
    }
    return tag(
      "g", ChartFrame.text(row.name, Self.left, top + 12, "start"),
      tag("path", ["class": "rows", "d": path.joined()]))
  }

  private func ticks(below top: Double) -> [Markup] {
    Axis.layers(layerCount).ticks.filter { Int($0.value) < layerCount }.map { value, label in
      ChartFrame.text(label, Self.left + (value + 0.5) * step, top + 10, "middle")
    }
  }
}
