import CommandSupport
import TensorCore

/// Where the image goes, for a terminal: attention on it and what a layer without it changes.
///
/// Like the calibration page it shows what the record has: a member that is missing is a "-".
enum MigrationPage {
  private static let barWidth = 20
  private static let levels = Array(" ▁▂▃▄▅▆▇█")

  static func text(_ record: JSONValue) -> String {
    guard let answer = record["pooled"]?["migration"]?["answer"],
      let layers = answer["visual"]?.arrayValue?.count, layers > 0
    else { return "" }
    let question = record["pooled"]?["migration"]?["question"]
    var page =
      "\n"
      + wrapped(
        "where the image goes: how the \(count(answer)) rows that predict answers share out their "
          + "attention, and to the right the \(count(question)) rows of questions before them; change "
          + "is how far rows are off as they leave a layer that is the first without the image")
    page += line(
      "layer", "on the image", ["system", "question", "answer", "change", "", "image", "change"])
    let k = record["k"]?.integerValue
    for layer in 0..<layers {
      func share(_ rows: JSONValue?, _ name: String) -> String {
        value(rows?[name], layer).map(percent) ?? "-"
      }
      let image = value(answer["visual"], layer)
      page += line(
        "\(layer)\(layer == k ? " K" : "")",
        (image.map { pad(percent($0), 8) + " " + bar($0) } ?? "       -"),
        ["system", "question", "answer", "change"].map { share(answer, $0) } + [
          "|", share(question, "visual"), share(question, "change"),
        ])
    }
    return page + tasks(record["tasks"]?.arrayValue ?? [])
  }

  /// A line of small bars per task, a bar per layer.
  private static func tasks(_ tasks: [JSONValue]) -> String {
    let measured = tasks.compactMap { task in
      task["migration"]?["answer"].map {
        (printable(task["name"]?.stringValue ?? "-", limit: 30), $0)
      }
    }
    guard !measured.isEmpty else { return "" }
    let width = measured.map(\.0.count).max() ?? 0
    // One scale for all, so that tasks can be compared.
    let most = measured.flatMap { series($0.1["change"]) }.max() ?? 0
    var page = "  by task, a column per layer: attention on the image (full height 100 %), change "
    page += "(full height \(percent(most)))\n"
    for (name, rows) in measured {
      page += "  " + name + String(repeating: " ", count: width - name.count) + "  |"
      page += bars(series(rows["visual"]), of: 1) + "|  |" + bars(series(rows["change"]), of: most)
      page += "|\n"
    }
    return page
  }

  private static func bars(_ values: [Double], of most: Double) -> String {
    String(
      values.map { value in
        let share = most > 0 ? min(1, max(0, value / most)) : 0
        return levels[Int((share * Double(levels.count - 1)).rounded(.up))]
      })
  }

  private static func line(_ layer: String, _ image: String, _ cells: [String]) -> String {
    var text = pad(layer, 6) + " " + image
    text += String(repeating: " ", count: max(0, barWidth + 10 - image.count))
    text += cells.map { pad($0, $0 == "|" || $0.isEmpty ? 3 : 9) }.joined()
    while text.last == " " { text.removeLast() }
    return text + "\n"
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  private static func bar(_ share: Double) -> String {
    let cells = Int((min(1, max(0, share)) * Double(barWidth)).rounded())
    return String(repeating: "█", count: cells)
  }

  private static func series(_ value: JSONValue?) -> [Double] {
    (value?.arrayValue ?? []).compactMap(\.doubleValue)
  }

  private static func value(_ values: JSONValue?, _ layer: Int) -> Double? {
    guard let values = values?.arrayValue, values.indices.contains(layer) else { return nil }
    return values[layer].doubleValue
  }

  private static func percent(_ share: Double) -> String { fixed(100 * share, 1) + " %" }

  private static func count(_ rows: JSONValue?) -> String {
    rows?["rows"]?.integerValue.map { "\($0)" } ?? "-"
  }
}
