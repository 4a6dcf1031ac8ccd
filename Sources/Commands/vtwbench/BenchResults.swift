import CommandSupport
import TensorCore

/// What one round took, in seconds; decode is per token.
struct StageSeconds {
  var vision: Double
  var prefill: Double
  var firstToken: Double
  var decode: Double

  static let stages: [(name: String, path: any KeyPath<StageSeconds, Double> & Sendable)] = [
    ("vision", \.vision), ("prefill", \.prefill), ("first_token", \.firstToken),
    ("decode", \.decode),
  ]
}

/// Rounds of both sides and their medians.
struct BenchResults {
  private let k: Int
  private let layerCount: Int
  private var full: [StageSeconds] = []
  private var withdrawn: [StageSeconds] = []

  init(k: Int, layerCount: Int) {
    self.k = k
    self.layerCount = layerCount
  }

  mutating func add(full: StageSeconds, withdrawn: StageSeconds) {
    self.full.append(full)
    self.withdrawn.append(withdrawn)
  }

  /// The middle value, and the distance from the least to the greatest.
  private static func median(_ values: [Double]) -> (value: Double, spread: Double) {
    let sorted = values.sorted()
    guard let least = sorted.first, let greatest = sorted.last else { return (0, 0) }
    let middle = sorted.count / 2
    let value =
      sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    return (value, greatest - least)
  }

  private static func json(_ rounds: [StageSeconds]) -> JSONValue {
    var object = JSONObject()
    for stage in StageSeconds.stages {
      let (value, spread) = median(rounds.map { $0[keyPath: stage.path] })
      object[stage.name] = .number(rounded(value))
      object[stage.name + "_spread"] = .number(rounded(spread))
    }
    return .object(object)
  }

  /// Full over withdrawn, the median of the rounds' own ratios.
  private func ratio(_ path: KeyPath<StageSeconds, Double>) -> Double {
    Self.median(zip(full, withdrawn).map { $0[keyPath: path] / $1[keyPath: path] }).value
  }

  var json: JSONValue {
    [
      "k": .integer(k), "layers": .integer(layerCount), "runs": .integer(full.count),
      "full": Self.json(full), "withdrawn": Self.json(withdrawn),
      "ratio": [
        "prefill": .number(rounded(ratio(\.prefill))),
        "first_token": .number(rounded(ratio(\.firstToken))),
        "decode": .number(rounded(ratio(\.decode))),
      ],
    ]
  }

  var text: String {
    func cell(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    var page = cell("", 12) + cell("full", 12) + cell("K = \(k)", 12) + cell("ratio", 8) + "\n"
    for stage in StageSeconds.stages {
      let one = Self.median(full.map { $0[keyPath: stage.path] }).value
      let two = Self.median(withdrawn.map { $0[keyPath: stage.path] }).value
      page += stage.name + String(repeating: " ", count: 12 - stage.name.count)
      page += cell(timeText(one), 12) + cell(timeText(two), 12)
      page += cell(fixed(ratio(stage.path), 2), 8) + "\n"
    }
    return page + "medians of \(full.count) interleaved rounds; decode is per token\n"
  }
}
