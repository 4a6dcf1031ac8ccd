import Calibration
import CommandSupport
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

  private static func percent(_ share: Double, _ places: Int) -> String {
    "\(fixed(100 * share, places)) %"
  }
}
