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

  static func page(
    _ record: JSONValue = record(), layers: Int = 6, usedK: Int = 4, fileName: String = "m.vtwm",
    times: PrefillTimes? = nil, samples: [ChangedSample] = []
  ) -> String {
    ReportPage(
      fileName: fileName, facts: ["llava", "6 layers"], usedK: usedK,
      profiles: [("default", usedK), ("colors", 3)],
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
