import TensorCore

/// Cost against quality as an SVG: a point for each way to run the model, the front of those that no
/// cheaper one beats, and names at those that are used.
struct FrontChart {
  struct Point {
    /// A share of the full prefill.
    var cost: Double
    var value: Double
    /// What a pointer that rests there reads; without it the point is one of many.
    var note: String?
  }

  struct Series {
    var name: String
    var style: ChartStyle
    var points: [Point]
  }

  /// What the whole chart says, for those who cannot see it.
  var title: String
  var yTitle: String
  var y: Axis
  var series: [Series]
  /// The front, the cheapest first.
  var front: [Point]
  /// A bound, drawn across.
  var bound: (value: Double, label: String)?
  /// Those in use, by the names that they have.
  var named: [(name: String, point: Point)]

  private let x = Axis.shares([], fromZero: true)

  var markup: Markup {
    ChartFrame.svg(
      title,
      [ChartFrame.grid(x, y, xTitle: "FLOPs of the prefill", yTitle: yTitle)]
        + [bound.map { ChartFrame.bound(y, $0.value, $0.label) } ?? .nothing, frontLine]
        + series.map(draw) + names)
  }

  private func place(_ point: Point) -> (x: Double, y: Double) {
    (ChartFrame.x(x, point.cost), ChartFrame.y(y, point.value))
  }

  /// Steps: up to the next point's cost nothing better is to be had.
  private var frontLine: Markup {
    var path = ""
    for point in front {
      let (x, y) = place(point)
      path +=
        path.isEmpty ? "M\(coordinate(x)) \(coordinate(y))" : "H\(coordinate(x))V\(coordinate(y))"
    }
    return path.isEmpty ? .nothing : tag("path", ["class": "front", "d": path])
  }

  private func draw(_ series: Series) -> Markup {
    func marker(_ point: Point) -> String {
      let (x, y) = place(point)
      return series.style.marker(x, y)
    }
    let many = series.points.filter { $0.note == nil }.map(marker).joined()
    let noted = series.points.compactMap { point in
      point.note.map {
        tag(
          "path", ["class": series.style.markerClass, "d": marker(point)], tag("title", .text($0)))
      }
    }
    return tag(
      "g", [:],
      (many.isEmpty
        ? [] : [tag("path", ["class": series.style.markerClass + " many", "d": many])]) + noted)
  }

  // A name's height.
  private static let line = 13.0

  /// Rings around the points in use, with their names where no other name stands.
  private var names: [Markup] {
    var taken: [(left: Double, right: Double, y: Double)] = []
    return named.map { name, point in
      let (x, y) = place(point)
      let width = Double(name.count) * ChartFrame.letter
      let isLeft = x + 9 + width > ChartFrame.right
      let left = isLeft ? x - 9 - width : x + 9
      func isFree(_ place: Double) -> Bool {
        taken.allSatisfy {
          left > $0.right || left + width < $0.left || abs($0.y - place) >= Self.line
        }
      }
      // Above the point, or else below, and further down.
      let rows = [y - 7] + (1...4).map { y + 4 + Self.line * Double($0) }
      let row = rows.first { isFree($0) && $0 > ChartFrame.top && $0 < ChartFrame.bottom } ?? y - 7
      taken.append((left, left + width, row))
      return tag(
        "g",
        tag(
          "circle",
          ["class": "choice", "cx": coordinate(x), "cy": coordinate(y), "r": "6.5"]),
        ChartFrame.text(name, isLeft ? x - 9 : x + 9, row, isLeft ? "end" : "start", "note"))
    }
  }
}
