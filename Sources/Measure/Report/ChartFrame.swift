/// What every chart has around its data, 360 x 240 pixels: legible on a phone without being scaled
/// down.
enum ChartFrame {
  static let (width, height) = (360.0, 240.0)
  static let (left, right, top, bottom) = (52.0, 348.0, 30.0, 204.0)
  /// How wide a letter is, at most.
  static let letter = 6.5

  static func x(_ axis: Axis, _ value: Double) -> Double {
    left + axis.place(value) * (right - left)
  }

  static func y(_ axis: Axis, _ value: Double) -> Double {
    bottom - axis.place(value) * (bottom - top)
  }

  /// The chart of `content`.
  ///
  /// - Parameter title: what the whole chart says, for those who cannot see it.
  static func svg(_ title: String, _ content: [Markup]) -> Markup {
    tag(
      "svg",
      [
        "class": "chart", "role": "img",
        "viewBox": "0 0 \(coordinate(width)) \(coordinate(height))", "aria-label": title,
        "xmlns": "http://www.w3.org/2000/svg",
      ], content)
  }

  /// Lines across, and what is written along both axes.
  static func grid(_ xAxis: Axis, _ yAxis: Axis, xTitle: String, yTitle: String) -> Markup {
    var lines: [Markup] = []
    for (value, label) in yAxis.ticks {
      let place = coordinate(y(yAxis, value))
      lines.append(
        tag(
          "path", ["class": "grid", "d": "M\(coordinate(left)) \(place)H\(coordinate(right))"]))
      lines.append(text(label, left - 6, y(yAxis, value) + 4, "end"))
    }
    for (value, label) in xAxis.ticks {
      let place = x(xAxis, value)
      // A long label at the right end would reach beyond the picture.
      let isCut = place + Double(label.count) * letter / 2 > width
      lines.append(text(label, isCut ? width : place, bottom + 16, isCut ? "end" : "middle"))
    }
    lines.append(text(xTitle, (left + right) / 2, height - 4, "middle", "axis"))
    lines.append(text(yTitle, 2, 12, "start", "axis"))
    return tag("g", [:], lines)
  }

  /// A bound, drawn across.
  static func bound(_ axis: Axis, _ value: Double, _ label: String) -> Markup {
    let place = y(axis, value)
    return tag(
      "g",
      tag(
        "path",
        [
          "class": "bound", "stroke-dasharray": "1 2.5",
          "d": "M\(coordinate(left)) \(coordinate(place))H\(coordinate(right))",
        ]),
      text(label, left + 4, place - 4, "start", "note"))
  }

  static func text(
    _ text: String, _ x: Double, _ y: Double, _ anchor: String, _ kind: String = "tick"
  ) -> Markup {
    tag(
      "text",
      ["class": kind, "x": coordinate(x), "y": coordinate(y), "text-anchor": anchor], .text(text))
  }
}
