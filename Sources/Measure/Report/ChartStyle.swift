/// How a line looks: colour by class, and a dash and a marker of its own, so that lines can be told
/// apart without colour.
struct ChartStyle {
  /// The classes `s0`... of the style sheet.
  let index: Int

  /// More lines than this in one chart are not legible.
  static let count = 8

  private static let dashes = ["", "6 3", "2 3", "9 3 2 3", "", "6 3", "2 3", "9 3 2 3"]

  var lineClass: String { "line s\(index)" }

  var dash: String { Self.dashes[index] }

  /// Open shapes are drawn by their outline alone.
  var markerClass: String { (4...5).contains(index) ? "open s\(index)" : "marker s\(index)" }

  /// The marker around (`x`, `y`), as a path.
  func marker(_ x: Double, _ y: Double) -> String {
    let (x, y) = (coordinate(x), coordinate(y))
    let shape =
      switch index {
      case 0: "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z"
      case 1: "m-2.7-2.7h5.4v5.4h-5.4z"
      case 2: "m0-3.6l3.4 6h-6.8z"
      case 3: "m0-4l3.4 4l-3.4 4l-3.4-4z"
      case 4: "m-3.4 0h6.8m-3.4-3.4v6.8"
      case 5: "m-2.8-2.8l5.6 5.6m0-5.6l-5.6 5.6"
      case 6: "m0 3.6l3.4-6h-6.8z"
      default: "m-1.4-4h2.8v8h-2.8z"
      }
    return "M\(x) \(y)\(shape)"
  }
}
