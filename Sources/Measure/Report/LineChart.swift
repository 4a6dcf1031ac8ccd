import TensorCore

/// A chart over the withdrawal layer K as an SVG.
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

  var markup: Markup {
    let marks = [
      choice.map(mark) ?? .nothing,
      bound.map { ChartFrame.bound(y, $0.value, $0.label) } ?? .nothing,
    ]
    return ChartFrame.svg(title, [grid] + series.map(shade) + series.map(draw) + marks)
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

  private func x(_ k: Int) -> Double { ChartFrame.x(x, Double(k)) }

  private func y(_ value: Double) -> Double { ChartFrame.y(y, value) }

  private var grid: Markup {
    ChartFrame.grid(
      x, y, xTitle: xTitle ?? "withdrawal layer K (\(layerCount): never)", yTitle: yTitle)
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
          "d":
            "M\(coordinate(place)) \(coordinate(ChartFrame.top - 4))V\(coordinate(ChartFrame.bottom))",
        ]),
      ChartFrame.text(
        "K = \(k)", place + (isRight ? -4 : 4), ChartFrame.top - 6, isRight ? "end" : "start",
        "note"))
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
