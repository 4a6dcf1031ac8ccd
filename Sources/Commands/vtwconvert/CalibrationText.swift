import Calibration
import CommandSupport
import Glibc
import TensorCore

/// A calibration for a terminal.
enum CalibrationText {
  /// How K and what it costs follow the threshold; thresholds that lead to the same K share a line.
  static func thresholds(_ report: CalibrationReport) -> String {
    var table = TextTable(columns: [18, 4, 9, 9, 11, 10, 9, 10])
    table.add(["  eta", "K", "FLOPs", "KV rows", "KV bytes", "mean KL", "agree", "held out"])
    var rows = report.thresholds[...]
    while let first = rows.first {
      let same = rows.prefix { $0.k == first.k }
      rows = rows.dropFirst(same.count)
      let last = same.last?.eta ?? first.eta
      table.add([
        "  \(first.eta)" + (last > first.eta ? "...\(last)" : ""), String(first.k),
        percent(first.operations, 0), percent(first.keyValue, 0), byteText(first.keyValueBytes),
        fixed(first.meanKL, 5), percent(first.agreement, 1),
        first.heldoutAgreement.map { percent($0, 1) } ?? "-",
      ])
    }
    return table.text
  }

  /// The mean KL of the worst task over K, in powers of ten, two lines each.
  static func curve(_ report: CalibrationReport) -> String {
    let layers = report.curves.layerCount
    let losses = (0..<layers).map { report.curves.worst(at: $0)?.point.meanKL ?? 0 }
    guard let highest = losses.max(), highest > 0 else { return "" }
    let eta = report.criterion.eta
    // Six decades at most; below 1e-5 nothing matters.
    let top = Int(log10(max(highest, eta)).rounded(.up))
    let bottom = max(-5, top - 6, Int(log10(losses.filter { $0 > 0 }.min() ?? 1).rounded(.down)))
    guard bottom < top else { return "" }
    func line(_ value: Double) -> Int {
      guard value > 0 else { return 2 * bottom }
      return min(max(Int((2 * log10(value)).rounded()), 2 * bottom), 2 * top)
    }
    let width = layers <= 40 ? 2 : 1
    let choice = report.k
    var text = "  mean KL of the worst task over K\n"
    for row in stride(from: 2 * top, through: 2 * bottom, by: -1) {
      let power = row.isMultiple(of: 2) ? row / 2 : nil
      let label = power.map {
        (-3...2).contains($0) ? fixed(pow(10, Double($0)), max(0, -$0)) : "1e\($0)"
      }
      text += String(repeating: " ", count: 7 - (label?.count ?? 0)) + (label ?? "") + " │"
      for k in 0...layers {
        let mark =
          k < layers && line(losses[k]) == row
          ? "●" : k == choice ? "│" : row == line(eta) ? "┄" : " "
        text += mark + String(repeating: row == line(eta) ? "┄" : " ", count: width - 1)
      }
      text += (row == line(eta) ? " eta \(eta)" : "") + "\n"
    }
    text += "        └" + String(repeating: "─", count: width * (layers + 1)) + "\n"
    let choiceLabel = "K = \(choice)"
    let indent = max(0, 9 + width * choice - choiceLabel.count / 2)
    return text + String(repeating: " ", count: indent) + choiceLabel + "\n"
  }

  private static func percent(_ share: Double, _ places: Int) -> String {
    "\(fixed(100 * share, places)) %"
  }
}
