import Architecture
import Calibration
import CommandSupport
import Inference
import Kernels
import RuntimeSupport
import SampleSets
import TensorCore
import VTWMFile

/// KL and agreement of packed weights with a reference, task by task.
struct PackingComparison {
  private(set) var refused: [RefusedSample]
  private(set) var sampleCount: Int
  private let model: String
  private let reference: String
  /// Every task, then all together.
  private let rows: [TaskCurve]

  /// - Parameter precision: how the model holds keys and values; nil for what its file says, as the
  ///   reference always does.
  init(
    _ model: VTWMFile, reference: VTWMFile, answerTokens: Int, engine: EngineOptions,
    precision: KeyValueRows.Precision?, samples: [Sample], progress: (Double) -> Void
  ) throws(InputError) {
    var options = CalibrationOptions()
    options.answerTokens = answerTokens
    let sides = try [(reference, nil), (model, precision)].map {
      (file, precision) throws(InputError) in
      let runtime = try Runtime(
        file, profile: file.schedule.profiles[file.schedule.defaultProfile], engine: engine,
        precision: precision)
      return Calibrator(
        model: runtime.model, encoder: runtime.encoder, imageSteps: file.imageSteps,
        precision: runtime.precision, options: options)
    }
    let outcome = sides[0].compare(with: sides[1], on: samples, progress: progress)
    refused = outcome.refused
    sampleCount = outcome.divergences.count
    self.model = model.path
    self.reference = reference.path

    // A comparison is a calibration with a single layer.
    let curves = CalibrationCurves(outcome.divergences, layerCount: 1)
    rows = curves.tasks + [curves.pooled]
  }

  var json: JSONValue {
    [
      "model": .string(model), "reference": .string(reference),
      "tasks": .array(
        rows.map { row in
          [
            "name": .string(row.name), "samples": .integer(row.sampleCount),
            "positions": .integer(row.positionCount),
            "mean_kl": .number(rounded(row.points[0].meanKL, 9)),
            "p95_kl": .number(rounded(row.points[0].p95KL, 9)),
            "max_kl": .number(rounded(row.points[0].maxKL, 9)),
            "agreement": .number(rounded(row.points[0].agreement)),
          ]
        }),
    ]
  }

  var table: String {
    let names = rows.map { printable($0.name, limit: 40) }
    var table = TextTable(columns: [names.map(\.count).max() ?? 0, 6, 8, 10, 10, 10, 9])
    table.add(["", "n", "tokens", "mean", "95 %", "largest", "agree %"])
    for (name, row) in zip(names, rows) {
      let point = row.points[0]
      table.add(
        [name, String(row.sampleCount), String(row.positionCount)]
          + [point.meanKL, point.p95KL, point.maxKL].map { fixed($0, 6) }
          + [fixed(100 * point.agreement, 2)])
    }
    return "KL(\(printable(model)) || \(printable(reference))), nats per token\n" + table.text
  }
}
