import Architecture
import Calibration
import CommandSupport
import Inference
import RuntimeSupport
import SampleSets
import Statistics
import TensorCore
import VTWMFile

/// KL and agreement of packed weights with a reference, task by task.
struct PackingComparison {
  private(set) var refused: [RefusedSample]
  private(set) var sampleCount: Int
  private let model: String
  private let reference: String
  /// Every task, then all together.
  private let rows: [(name: String, samples: Int, sum: DivergenceSum)]

  /// - Parameter cache: how `model` holds keys and values; the reference does as its file says.
  init(
    _ model: VTWMFile, reference: VTWMFile, answerTokens: Int, engine: EngineOptions,
    cache: CacheOptions, samples: [Sample], progress: (Double) -> Void
  ) throws(InputError) {
    var options = CalibrationOptions()
    options.answerTokens = answerTokens
    var asStored = cache
    asStored.kv = .auto
    let sides = try [(reference, asStored), (model, cache)].map {
      (file, cache) throws(InputError) in
      let runtime = try Runtime(
        file, profile: file.schedule.profiles[file.schedule.defaultProfile], engine: engine,
        cache: cache)
      return Calibrator(
        model: runtime.model, tokenizer: runtime.tokenizer, encoder: runtime.encoder,
        imageSteps: file.imageSteps, precision: runtime.precision, options: options)
    }
    let outcome = sides[0].compare(with: sides[1], on: samples, progress: progress)
    refused = outcome.refused
    sampleCount = outcome.divergences.count
    self.model = model.path
    self.reference = reference.path

    var tasks: [String: (samples: Int, sum: DivergenceSum)] = [:]
    var all = DivergenceSum()
    for divergence in outcome.divergences {
      var sum = DivergenceSum()
      for (kl, agrees) in zip(divergence.kl[0], divergence.agrees[0]) {
        sum.add(kl: kl, agrees: agrees)
      }
      tasks[divergence.task, default: (0, DivergenceSum())].samples += 1
      tasks[divergence.task]?.sum.merge(sum)
      all.merge(sum)
    }
    rows =
      tasks.sorted { $0.key < $1.key }.map { ($0.key, $0.value.samples, $0.value.sum) }
      + [("all", outcome.divergences.count, all)]
  }

  var json: JSONValue {
    [
      "model": .string(model), "reference": .string(reference),
      "tasks": .array(
        rows.map { row in
          [
            "name": .string(row.name), "samples": .integer(row.samples),
            "positions": .integer(row.sum.count),
            "mean_kl": .number(rounded(row.sum.meanDivergence ?? 0, 9)),
            "p95_kl": .number(rounded(row.sum.divergence(percentile: 95) ?? 0, 9)),
            "max_kl": .number(rounded(row.sum.maxDivergence ?? 0, 9)),
            "agreement": .number(rounded(row.sum.agreement ?? 0)),
          ]
        }),
    ]
  }

  var table: String {
    let width = rows.map { printable($0.name, limit: 40).count }.max() ?? 0
    func cell(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    var text = "KL(\(printable(model)) || \(printable(reference))), nats per token\n"
    text += cell("", width) + cell("n", 6) + cell("tokens", 8) + cell("mean", 10)
    text += cell("95 %", 10) + cell("largest", 10) + cell("agree %", 9) + "\n"
    for row in rows {
      let shown = printable(row.name, limit: 40)
      text += shown + cell("", width - shown.count) + cell(String(row.samples), 6)
      text += cell(String(row.sum.count), 8)
      for value in [
        row.sum.meanDivergence, row.sum.divergence(percentile: 95), row.sum.maxDivergence,
      ] {
        text += cell(value.map { fixed($0, 6) } ?? "-", 10)
      }
      text += cell(row.sum.agreement.map { fixed(100 * $0, 2) } ?? "-", 9) + "\n"
    }
    return text
  }
}
