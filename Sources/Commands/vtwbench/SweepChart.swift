import CommandSupport
import TensorCore

/// A sweep as an SVG that needs nothing else: seconds to the first token over K, split into vision
/// and prefill, and below it milliseconds per decoded token.
///
/// Colours follow the reader's light or dark scheme and turn black on paper; lines differ in dash
/// and label as well.
struct SweepChart {
  private let sweep: Sweep
  private let work: BenchWork
  private let file: String

  private static let left = 84.0, right = 640.0, width = 760.0, height = 560.0

  // Plain rules for each medium instead of variables, which many viewers of SVG do not know.
  private static let light = rules(
    page: "#ffffff", ink: "#1f2328", grid: "#d0d7de", lines: ["#0550ae", "#953800", "#6639ba"])
  private static let dark = rules(
    page: "#0d1117", ink: "#e6edf3", grid: "#3d444d", lines: ["#79c0ff", "#ffa657", "#d2a8ff"])
  private static let paper = rules(
    page: "#ffffff", ink: "#000000", grid: "#bbbbbb", lines: ["#000000", "#000000", "#000000"])

  private static func rules(page: String, ink: String, grid: String, lines: [String]) -> String {
    var text = "  .page { fill: \(page) } text { fill: \(ink) } .grid { stroke: \(grid) }"
    for (style, color) in zip(["a", "b", "c"], lines) {
      text += "\n  .\(style) { stroke: \(color) } .label-\(style) { fill: \(color) }"
    }
    return text
  }

  init(_ sweep: Sweep, work: BenchWork, file: String) {
    self.sweep = sweep
    self.work = work
    self.file = file
  }

  var text: String {
    let name = file.split(separator: "/").last.map(String.init) ?? file
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(number(Self.width)) \
      \(number(Self.height))" role="img" aria-label="Time to the first token over K">
      <style>
        svg { font: 13px system-ui, sans-serif } .title { font-size: 16px }
        .line { fill: none; stroke-width: 2 } .b.line { stroke-dasharray: 7 4 }
        .c.line { stroke-dasharray: 2 4 } .grid { fill: none }
        .end { text-anchor: end } .middle { text-anchor: middle }
      \(Self.light)
        @media (prefers-color-scheme: dark) {
      \(Self.dark)
        }
        @media print {
      \(Self.paper)
        }
      </style>
      <rect class="page" width="100%" height="100%"/>
      <text class="title" x="\(number(Self.left))" y="26">\(escaped(name)): visual rows leave at \
      layer K</text>
      <text x="\(number(Self.left))" y="46">\(work.visualRows) visual and \(work.textRows) text \
      rows, \(work.encoding.name), \(work.threads) threads, \(work.instructionSet)</text>
      <text x="\(number(Self.left))" y="64">medians of \
      \(sweep.points.first?.stages.rounds.count ?? 0) interleaved rounds, bars from least to \
      greatest</text>
      \(times)\(decoding)<text class="middle" x="\(number((Self.left + Self.right) / 2))" \
      y="\(number(Self.height - 10))">withdrawal layer K (\(work.layerCount): never)</text>
      </svg>

      """
  }

  /// Seconds to the first token, of the prefill, and of the vision tower.
  private var times: String {
    let panel = Panel(
      top: 84, bottom: 350, highest: sweep.points.map { $0.stages[\.firstToken].greatest }.max())
    return axes(panel, label: "seconds")
      + line(panel, \.firstToken, style: "a", label: "first token")
      + line(panel, \.prefill, style: "b", label: "prefill")
      + line(panel, \.vision, style: "c", label: "vision")
  }

  /// Milliseconds per decoded token.
  private var decoding: String {
    let panel = Panel(
      top: 395, bottom: 510,
      highest: sweep.points.map { $0.stages[\.decode].greatest * 1000 }.max())
    return axes(panel, label: "ms per token")
      + line(panel, \.decode, scale: 1000, style: "a", label: "decode")
  }

  // MARK: Drawing

  /// The vertical extent of one diagram, and the value at its top.
  private struct Panel {
    var top: Double
    var bottom: Double
    /// Distance of grid lines; a 1, 2 or 5 with zeros.
    var tick: Double
    var highest: Double

    init(top: Double, bottom: Double, highest: Double?) {
      self.top = top
      self.bottom = bottom
      let most = max(highest ?? 0, 1e-9)
      var tick = 1e-9
      search: while true {
        for factor in [1.0, 2, 5] where most / (tick * factor) <= 6 {
          tick *= factor
          break search
        }
        tick *= 10
      }
      self.tick = tick
      self.highest = (most / tick).rounded(.up) * tick
    }

    func y(_ value: Double) -> Double { bottom - value / highest * (bottom - top) }
  }

  private func x(_ k: Int) -> Double {
    Self.left + Double(k) / Double(max(work.layerCount, 1)) * (Self.right - Self.left)
  }

  private func axes(_ panel: Panel, label: String) -> String {
    var text = ""
    for step in 0...Int((panel.highest / panel.tick).rounded()) {
      let value = Double(step) * panel.tick
      let y = number(panel.y(value))
      text += """
        <path class="grid" d="M\(number(Self.left)) \(y)H\(number(Self.right))"/>
        <text class="end" x="\(number(Self.left - 8))" y="\(y)" dy="4">\
        \(trimmed(value))</text>

        """
    }
    // At most a dozen numbers along K.
    for k in stride(from: 0, through: work.layerCount, by: max(1, (work.layerCount + 11) / 12)) {
      text += """
        <text class="middle" x="\(number(x(k)))" y="\(number(panel.bottom + 18))">\(k)</text>

        """
    }
    let middle = number((panel.top + panel.bottom) / 2)
    return text + """
      <text class="middle" transform="rotate(-90 22 \(middle))" x="22" y="\(middle)">\(label)</text>

      """
  }

  private func line(
    _ panel: Panel, _ path: KeyPath<StageSeconds, Double>, scale: Double = 1, style: String,
    label: String
  ) -> String {
    var points = "", bars = "", end = panel.bottom
    for point in sweep.points {
      let samples = point.stages[path] * scale
      let x = number(x(point.k))
      end = panel.y(samples.median)
      points += "\(points.isEmpty ? "M" : "L")\(x) \(number(end))"
      bars += "M\(x) \(number(panel.y(samples.least)))V\(number(panel.y(samples.greatest)))"
    }
    return """
      <path class="\(style)" d="\(bars)"/>
      <path class="\(style) line" d="\(points)"/>
      <text class="label-\(style)" x="\(number(Self.right + 8))" y="\(number(end))" dy="4">\
      \(label)</text>

      """
  }

  private func number(_ value: Double) -> String { trimmed(rounded(value, 1)) }

  /// Without zeros that say nothing.
  private func trimmed(_ value: Double) -> String {
    var text = fixed(value, 6)
    while text.last == "0" { text.removeLast() }
    if text.last == "." { text.removeLast() }
    return text
  }

  private func escaped(_ text: String) -> String {
    var result = ""
    for character in printable(text) {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      default: result.append(character)
      }
    }
    return result
  }
}
