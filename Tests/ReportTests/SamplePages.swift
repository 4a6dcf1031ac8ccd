import Architecture
import Report
import TensorCore

/// Records and pages for the tests, as another writer may have left them.
enum SamplePages {
  /// A record of `layers` layers with a curve that falls by ten from layer to layer.
  static func record(
    tasks names: [String] = ["colors", "relation"], layers: Int = 6, k: Int = 4,
    migration: Bool = true, packing: Bool = true, warnings: [String] = [], refused: [String] = []
  ) -> JSONValue {
    func task(_ name: String, _ scale: Double) -> JSONValue {
      func curve(_ scale: Double) -> JSONValue {
        .array(
          (0..<layers).map { k in
            var loss = scale
            for _ in 0..<k { loss /= 10 }
            return [
              "k": .integer(k), "mean_kl": .number(loss), "p95_kl": .number(2 * loss),
              "max_kl": .number(3 * loss), "agreement": .number(1 - min(loss, 0.9)),
              "first_token_mean_kl": .number(loss),
              "mean_kl_interval": .array([.number(loss / 2), .number(loss * 2)]),
              "agreement_interval": .array([.number(0.05), .number(1)]),
            ]
          })
      }
      var object = JSONObject([
        ("name", .string(name)), ("samples", 9), ("positions", 27), ("holdout", 3),
        ("k", .integer(k)), ("curve", curve(scale)), ("holdout_curve", curve(scale / 2)),
      ])
      if migration {
        func shares(_ first: Double) -> JSONValue {
          .array((0..<layers).map { .number(first / Double($0 + 1)) })
        }
        let rows: JSONValue = [
          "rows": 27, "system": shares(0.11), "visual": shares(0.52), "question": shares(0.33),
          "answer": shares(0.04), "change": shares(0.9),
        ]
        object["migration"] = ["question": rows, "answer": rows]
      }
      if packing {
        object["packing"] = [
          "samples": 9, "positions": 27, "mean_kl": .number(0.00123), "agreement": .number(0.99),
        ]
      }
      return .object(object)
    }
    return [
      "criterion": [
        "rule": "sustained", "eta": .number(0.01), "agreement": .number(0.98),
        "direction": "withdrawn||full", "answer_tokens": 8, "seed": "7", "holdout": .number(0.25),
      ],
      "k": .integer(k), "layers": .integer(layers),
      "explanation": ["relation decided: at K = 3 its mean KL is 0.0200"],
      "packing": ["encoding": "q4", "source": "BF16"], "pooled": task("all", 5),
      "tasks": .array(names.enumerated().map { task($1, Double($0 + 1)) }),
      "eta": [
        [
          "eta": .number(0.001), "k": 4, "flops_ratio": .number(0.7), "kv_ratio": .number(0.72),
          "kv_bytes": 1_234_567, "mean_kl": .number(0.00071), "agreement": .number(0.995),
          "holdout_mean_kl": .number(0.00042), "holdout_agreement": .number(0.991),
        ],
        ["eta": .number(0.002), "k": 4],
        ["eta": .number(0.1), "k": 2, "flops_ratio": .number(0.4)],
      ],
      "layer_costs": .array(
        (0...layers).map { k in
          [
            "k": .integer(k), "flops_ratio": .number(0.4 + 0.1 * Double(k)),
            "kv_ratio": .number(0.4 + 0.1 * Double(k)), "kv_bytes": .integer(1000 * k),
            "worst_mean_kl": .number(2), "worst_task": "relation", "pareto": .bool(k != 3),
          ]
        }),
      "warnings": .array(warnings.map(JSONValue.string)),
      "refused": .array(refused.map(JSONValue.string)),
    ]
  }

  /// `record` with what a search for schedules found: withdrawal at every K, and what freezes.
  ///
  /// - Parameters:
  ///   - freezing: layers where visual rows freeze and leave, with a share of the FLOPs.
  ///   - chosen: as in `freezing`; nil for withdrawal at `k`.
  static func searched(
    layers: Int = 6, k: Int = 4, freezing: [(Int, Int, Double)] = [(1, 6, 0.55), (2, 4, 0.45)],
    chosen: (Int, Int, Double)? = (1, 6, 0.55), name: String = "auto"
  ) -> JSONValue {
    func point(_ a: Int, _ b: Int, _ share: Double) -> JSONObject {
      // Falls by ten for each layer in which visual rows stay.
      var loss = 1.0
      for _ in 0..<b { loss /= 10 }
      return JSONObject([
        ("freeze", .integer(a)), ("withdraw", .integer(b)), ("flops_ratio", .number(share)),
        ("kv_ratio", .number(0.5)), ("kv_bytes", 2_345_678),
        ("worst_mean_kl", .number(b == layers && a == b ? 0 : loss)), ("worst_task", "relation"),
        ("least_agreement", .number(b < 2 ? 0.2 : 0.985)),
        ("holdout_worst_mean_kl", .number(2 * loss)),
        ("holdout_least_agreement", .number(0.97)), ("passes", true),
        ("pareto", .bool(b == a ? a < 4 : true)),
      ])
    }
    let withdrawal = (0...layers).map { point($0, $0, 0.4 + 0.1 * Double($0)) }
    let (a, b, share) = chosen ?? (k, k, 0.4 + 0.1 * Double(k))
    var choice = point(a, b, share)
    choice["name"] = .string(name)
    choice["set_flops_ratio"] = .number(0.352)
    choice["tasks"] = [
      [
        "name": "relation", "mean_kl": .number(0.00321), "agreement": .number(0.991),
        "holdout_mean_kl": .number(0.00432), "holdout_agreement": .number(0.987),
      ]
    ]
    guard case .object(var object) = record(layers: layers, k: k) else { return .null }
    object["schedules"] = [
      "method": "auto", "objective": "flops", "exhaustive": false, "chosen": .object(choice),
      "own": [
        [
          "name": "auto-colors", "task": "colors", "freeze": 0, "withdraw": 2,
          "flops_ratio": .number(0.25), "kv_ratio": .number(0.5), "mean_kl": .number(0.00012),
          "agreement": .number(0.993),
        ]
      ],
      "points": .array(
        (withdrawal + freezing.map { point($0.0, $0.1, $0.2) }).map(JSONValue.object)),
    ]
    return .object(object)
  }

  static func page(
    _ record: JSONValue = record(), layers: Int = 6, usedK: Int = 4, fileName: String = "m.vtwm",
    times: PrefillTimes? = nil, samples: [ChangedSample] = []
  ) -> String {
    ReportPage(
      fileName: fileName, facts: ["llava", "6 layers"], usedK: usedK,
      profiles: [
        ScheduleProfile(withdrawingAt: min(usedK, layers), of: layers),
        ScheduleProfile(name: "colors", withdrawingAt: min(3, layers), of: layers),
      ],
      record: CalibrationRecord(record, layerCount: layers), times: times, samples: samples
    ).text
  }

  static let times = PrefillTimes(
    sample: "colors/1", visualRows: 576, textRows: 40, engine: "2 threads, avx512",
    visionSeconds: 0.25,
    points: [
      .init(k: 0, seconds: [0.05, 0.02], operations: 0.2),
      .init(k: 4, seconds: [0.06, 0.09, 0.08], operations: 0.7),
      .init(k: 6, seconds: [0.1, 0.12], operations: 1),
    ])

  static func sample(
    id: String = "relation/9", question: String = "What is left of the 3?",
    expected: String? = "7", full: String = "7 and 9", withdrawn: String = "7 or 9",
    thumbnails: [Thumbnail] = []
  ) -> ChangedSample {
    ChangedSample(
      id: id, task: "relation", isHeldOut: true, meanKL: 0.0585, maxKL: 0.1234, positions: 8,
      agreeing: 7,
      answers: .init(
        question: question, expected: expected, full: full, withdrawn: withdrawn,
        thumbnails: thumbnails))
  }
}
