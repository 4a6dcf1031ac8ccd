import Architecture
import Calibration
import Checkpoints
import CommandSupport
import Packing
import TensorCore
import VTWMFile

/// What the converter says about its input.
enum ConvertText {
  static func source(_ checkpoint: Checkpoint, input: String) -> String {
    let text = checkpoint.configuration.text
    let bytes = checkpoint.inputs.reduce(0) { $0 + $1.byteCount }
    var line =
      "read \(printable(input)): \(text.layerCount) layers, hidden size \(text.hiddenSize), "
      + "vocabulary \(text.vocabularySize)"
    if let vision = checkpoint.configuration.vision {
      line += vision.tiling == nil ? ", " : ", up to "
      line += "\(checkpoint.configuration.rowsOfLargestImage) visual rows per image"
      if let file = checkpoint.projectorFile { line += " (\(printable(file)))" }
    } else {
      line += ", no vision"
    }
    return line + ", \(byteText(bytes))\n"
  }
}

/// What the converter made, for people and for machines.
struct ConvertResult {
  var output: String
  var byteCount: Int
  var schedule: TokenSchedule
  var report: CalibrationReport?
  /// Of weights that were packed now.
  var types: TypeChanges?
  var errors: PackErrors?
  var configuration: ModelConfiguration
  var seconds: [(String, Double)]
  /// The page that shows the calibration, if one was asked for.
  var reportPath: String?

  // Reports count a prompt of one image and this many text rows, as the design's check values do.
  static let textRows = 64

  private func ratios(_ profile: ScheduleProfile) -> (operations: Double, keyValue: Double) {
    profile.costRatios(configuration, textRows: Self.textRows)
  }

  private var k: Int { schedule.profiles[schedule.defaultProfile].withdrawalLayer }

  var text: String {
    var text = types.map { "stored \($0.text)\n" } ?? ""
    text += (errors?.parts ?? []).map(Self.line).joined()
    if let report {
      text += report.table
      // A picture for people who watch; in a pipe the numbers do.
      if StandardError.isTerminal { text += CalibrationText.curve(report) }
      for warning in report.warnings { text += wrapped("warning: \(warning)") }
      text += report.explanation.map { wrapped($0) }.joined() + CalibrationText.thresholds(report)
    }
    let profile = schedule.profiles[schedule.defaultProfile]
    let ratio = ratios(profile)
    text +=
      k == schedule.layerCount
      ? configuration.vision == nil
        ? "" : "K = \(k): visual rows stay in all layers\n"
      : "K = \(k) of \(schedule.layerCount): decoder prefill needs "
        + "\(fixed(100 * ratio.operations, 0)) % of the FLOPs, the KV cache "
        + "\(fixed(100 * ratio.keyValue, 0)) % of the rows\n"
    for other in schedule.profiles.indices where other != schedule.defaultProfile {
      let profile = schedule.profiles[other]
      text +=
        "profile \(printable(profile.name)): "
        + (profile.freezesRows
          ? "\(profile.bar) \(profile.summary)" : "K = \(profile.withdrawalLayer)")
        + ", \(fixed(100 * ratios(profile).operations, 0)) % of the FLOPs\n"
    }
    let total = seconds.last?.1 ?? 0
    if let reportPath { text += "report: \(printable(reportPath))\n" }
    return text + "wrote \(printable(output)): \(byteText(byteCount)) in \(timeText(total))\n"
  }

  var json: JSONValue {
    var object = JSONObject([
      ("output", .string(output)), ("bytes", .integer(byteCount)),
      ("layers", .integer(schedule.layerCount)), ("k", .integer(k)),
    ])
    if let record = report?.json {
      for member in record.objectValue?.members ?? [] where object[member.key] == nil {
        object[member.key] = member.value
      }
    }
    object["report"] = reportPath.map(JSONValue.string)
    object["types"] = types?.json
    object["errors"] = errors?.json
    object["profiles"] = .array(
      schedule.profiles.map { profile in
        let ratio = ratios(profile)
        return [
          "name": .string(profile.name), "k": .integer(profile.withdrawalLayer),
          "schedule": profile.segmentsJSON,
          "flops_ratio": .number(rounded(ratio.operations)),
          "kv_ratio": .number(rounded(ratio.keyValue)),
        ]
      })
    object["seconds"] = .object(
      JSONObject(seconds.map { ($0.0, .number(rounded($0.1))) }))
    return .object(object)
  }

  private static func line(_ part: PackErrors.Part) -> String {
    let encodings = part.encodings.map(\.name).joined(separator: ", ")
    return "error of \(part.part.rawValue) in \(encodings): \(fixed(100 * part.error, 2)) %, worst "
      + "\(fixed(100 * part.worstError, 2)) % in \(part.worst)\n"
  }
}
