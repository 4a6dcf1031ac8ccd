import Architecture
import CommandSupport
import Inference
import RuntimeSupport
import TensorCore

/// The stages for many withdrawal layers, interleaved.
struct Sweep {
  struct Point {
    var k: Int
    var stages = StageSamples()
    /// Shares of the full prefill's operations and of its cache rows.
    var operationRatio: Double
    var keyValueRatio: Double
  }

  private(set) var points: [Point]

  /// Measures every `step`-th layer and the layer count; the images of a round are encoded once.
  init(
    _ runtime: Runtime, _ prompt: SyntheticPrompt, step: Int, tokens: Int, runs: Int, warmup: Int
  ) throws(InputError) {
    let text = runtime.model.configuration.text
    let layers = Array(stride(from: 0, to: text.layerCount, by: step)) + [text.layerCount]
    func cost(_ profile: ScheduleProfile) -> ScheduleCost {
      ScheduleCost(
        profile, text: text, textRows: prompt.textRows, visualRows: prompt.visualRows)
    }
    let full = cost(runtime.neverWithdrawing)
    points = []
    var timers: [StageTimer] = []
    for k in layers {
      let profile = ScheduleProfile(name: "k=\(k)", withdrawingAt: k, of: text.layerCount)
      let cost = cost(profile)
      timers.append(try StageTimer(runtime, profile, prompt, tokens: tokens))
      points.append(
        Point(
          k: k, operationRatio: cost.operations / full.operations,
          keyValueRatio: Double(cost.keyValueRows) / Double(full.keyValueRows)))
    }
    for round in 0..<warmup + runs {
      let visual = try timers[0].encode()
      for (index, timer) in timers.enumerated() {
        let stages = try timer.round(visual: visual)
        if round >= warmup { points[index].stages.add(stages) }
      }
    }
  }

  var json: JSONValue {
    .array(
      points.map { point in
        var object = JSONObject([("k", .integer(point.k))])
        for stage in StageSeconds.stages { object.set(stage.name, point.stages[stage.path]) }
        object["flops_ratio"] = .number(rounded(point.operationRatio))
        object["kv_ratio"] = .number(rounded(point.keyValueRatio))
        return .object(object)
      })
  }

  var text: String {
    var table = TextTable(columns: [6, 14, 14, 14, 12, 10])
    table.add(["K", "first token", "prefill", "tokens/s", "operations", "cache"])
    for point in points {
      table.add([
        "\(point.k)", timeText(point.stages[\.firstToken].median),
        timeText(point.stages[\.prefill].median),
        fixed((1 / point.stages[\.decode]).median, 1),
        "\(fixed(point.operationRatio * 100, 0)) %", "\(fixed(point.keyValueRatio * 100, 0)) %",
      ])
    }
    return table.text
  }
}
