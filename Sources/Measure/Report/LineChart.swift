import TensorCore

/// A chart over the withdrawal layer K as an SVG, 360 x 240 pixels: legible on a phone without being
/// scaled down.
struct LineChart {
  struct Series {
    var name: String
    var style: ChartStyle
    /// Places and values, with what a pointer that rests there reads.
    var points: [(k: Int, value: Double, note: String)] = []
    /// Where the truth lies, shaded, or as bars where there is no line.
    var intervals: [(k: Int, range: ClosedRange<Double>)] = []
    var hasLine = true
  }

  /// What the whole chart says, for those who cannot see it.
  var title: String
  var layerCount: Int
  /// What is counted along the chart; nil for withdrawal layers.
  var xTitle: String?
  var yTitle: String
  var y: Axis
  var series: [Series]
  /// A bound, drawn across.
  var bound: (value: Double, label: String)?
  /// The withdrawal layer that is used, drawn upright.
  var choice: Int?

  private static let (width, height) = (360.0, 240.0)
  private static let (left, right, top, bottom) = (52.0, 348.0, 30.0, 204.0)

  var markup: Markup {
    let marks = [choice.map(mark) ?? .nothing, bound.map(mark) ?? .nothing]
    return tag(
      "svg",
      [
        "class": "chart", "role": "img",
        "viewBox": "0 0 \(coordinate(Self.width)) \(coordinate(Self.height))",
        "aria-label": title, "xmlns": "http://www.w3.org/2000/svg",
      ],
      [grid] + series.map(shade) + series.map(draw) + marks)
  }

  /// The legend of `series`, to stand below one or several charts.
  static func legend(_ series: [Series]) -> Markup {
    tag(
      "ul", ["class": "legend"],
      series.map { series in
        tag(
          "li",
          tag(
            "svg", ["viewBox": "0 0 36 12", "width": "36", "height": "12", "aria-hidden": "true"],
            series.hasLine
              ? stroke("M1 6H35", series.style)
              : tag("path", ["class": series.style.lineClass, "d": "M18 0V12"]),
            tag("path", ["class": series.style.markerClass, "d": series.style.marker(18, 6)])),
          " ", .text(series.name))
      })
  }

  // MARK: Parts

  private var x: Axis { .layers(layerCount) }

  private func x(_ k: Int) -> Double {
    Self.left + x.place(Double(k)) * (Self.right - Self.left)
  }

  private func y(_ value: Double) -> Double {
    Self.bottom - y.place(value) * (Self.bottom - Self.top)
  }

  private var grid: Markup {
    var lines: [Markup] = []
    for (value, label) in y.ticks {
      let place = coordinate(y(value))
      lines.append(
        tag(
          "path",
          ["class": "grid", "d": "M\(coordinate(Self.left)) \(place)H\(coordinate(Self.right))"]))
      lines.append(text(label, Self.left - 6, y(value) + 4, "end"))
    }
    for (value, label) in x.ticks {
      lines.append(text(label, x(Int(value)), Self.bottom + 16, "middle"))
    }
    lines.append(
      text(
        xTitle ?? "withdrawal layer K (\(layerCount): never)", (Self.left + Self.right) / 2,
        Self.height - 4, "middle", "axis"))
    lines.append(text(yTitle, 2, 12, "start", "axis"))
    return tag("g", [:], lines)
  }

  private func mark(choice k: Int) -> Markup {
    let place = x(k)
    let isRight = 2 * k > layerCount
    return tag(
      "g",
      tag(
        "path",
        [
          "class": "choice",
          "d": "M\(coordinate(place)) \(coordinate(Self.top - 4))V\(coordinate(Self.bottom))",
        ]),
      text("K = \(k)", place + (isRight ? -4 : 4), Self.top - 6, isRight ? "end" : "start", "note"))
  }

  private func mark(bound: (value: Double, label: String)) -> Markup {
    let place = y(bound.value)
    return tag(
      "g",
      tag(
        "path",
        [
          "class": "bound", "stroke-dasharray": "1 2.5",
          "d": "M\(coordinate(Self.left)) \(coordinate(place))H\(coordinate(Self.right))",
        ]),
      text(bound.label, Self.left + 4, place - 4, "start", "note"))
  }

  /// The intervals: an area under a line, else bars.
  private func shade(_ series: Series) -> Markup {
    let intervals = series.intervals
    guard !intervals.isEmpty else { return .nothing }
    guard series.hasLine else {
      let bars = intervals.map {
        "M\(coordinate(x($0.k))) \(coordinate(y($0.range.lowerBound)))"
          + "V\(coordinate(y($0.range.upperBound)))"
      }
      return tag("path", ["class": series.style.lineClass, "d": bars.joined()])
    }
    var outline = ""
    func extend(_ k: Int, _ value: Double) {
      outline += "\(outline.isEmpty ? "M" : "L")\(coordinate(x(k))) \(coordinate(y(value)))"
    }
    for (k, range) in intervals { extend(k, range.upperBound) }
    for (k, range) in intervals.reversed() { extend(k, range.lowerBound) }
    return tag("path", ["class": "band s\(series.style.index)", "d": outline + "z"])
  }

  private func draw(_ series: Series) -> Markup {
    var line = ""
    for (k, value, _) in series.points {
      line += "\(line.isEmpty ? "M" : "L")\(coordinate(x(k))) \(coordinate(y(value)))"
    }
    // Where layers lie close, not every point has room for a marker.
    let step = series.hasLine ? max(1, (layerCount + 23) / 24) : 1
    let markers = series.points.filter { $0.k.isMultiple(of: step) || $0.k == choice }.map {
      tag(
        "path",
        ["class": series.style.markerClass, "d": series.style.marker(x($0.k), y($0.value))],
        tag("title", .text($0.note)))
    }
    return tag(
      "g", [:], (series.hasLine && !line.isEmpty ? [stroke(line, series.style)] : []) + markers)
  }

  private func text(
    _ text: String, _ x: Double, _ y: Double, _ anchor: String, _ kind: String = "tick"
  ) -> Markup {
    tag(
      "text",
      ["class": kind, "x": coordinate(x), "y": coordinate(y), "text-anchor": anchor], .text(text))
  }
}

private func stroke(_ path: String, _ style: ChartStyle) -> Markup {
  style.dash.isEmpty
    ? tag("path", ["class": style.lineClass, "d": path])
    : tag("path", ["class": style.lineClass, "stroke-dasharray": style.dash, "d": path])
}

/// A place in a drawing, to a tenth of a pixel.
func coordinate(_ value: Double) -> String {
  let text = fixed(value, 1)
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}
