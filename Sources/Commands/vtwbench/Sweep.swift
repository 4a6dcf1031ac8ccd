import Architecture
import CommandSupport
import Inference
import RuntimeSupport
import TensorCore

/// The stages of many schedules, interleaved.
struct Sweep {
  struct Point {
    var profile: ScheduleProfile
    var k: Int { profile.withdrawalLayer }
    var stages = StageSamples()
    /// Shares of the full prefill's operations and of its cache rows.
    var operationRatio: Double
    var keyValueRatio: Double
  }

  private(set) var points: [Point]

  /// Measures `profiles`; the images of a round are encoded once.
  init(
    _ runtime: Runtime, _ prompt: SyntheticPrompt, _ profiles: [ScheduleProfile], tokens: Int,
    runs: Int, warmup: Int
  ) throws(InputError) {
    let text = runtime.model.configuration.text
    func cost(_ profile: ScheduleProfile) -> ScheduleCost {
      ScheduleCost(
        profile, text: text, textRows: prompt.textRows, visualRows: prompt.visualRows)
    }
    let full = cost(runtime.neverWithdrawing)
    points = []
    var timers: [StageTimer] = []
    for profile in profiles {
      let cost = cost(profile)
      timers.append(try StageTimer(runtime, profile, prompt, tokens: tokens))
      points.append(
        Point(
          profile: profile, operationRatio: cost.operations / full.operations,
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
        var object = JSONObject([
          ("k", .integer(point.k)), ("name", .string(point.profile.name)),
        ])
        for stage in StageSeconds.stages { object.set(stage.name, point.stages[stage.path]) }
        object["flops_ratio"] = .number(rounded(point.operationRatio))
        object["kv_ratio"] = .number(rounded(point.keyValueRatio))
        return .object(object)
      })
  }

  var text: String {
    let width = max(6, points.map(\.profile.name.count).max() ?? 0)
    let freezes = points.contains { $0.profile.freezesRows }
    var table = TextTable(columns: [width, 14, 14, 14, 12, 10, 10])
    table.add(
      [
        freezes ? "layers" : "K", "first token", "prefill", "tokens/s", "operations", "cache",
        "by FLOPs",
      ])
    // The last of a sweep, the first of a list.
    let full = points.max { $0.operationRatio < $1.operationRatio }
    let fullSeconds = full?.stages[\.prefill].median ?? .nan
    for point in points {
      let expected = fullSeconds * point.operationRatio
      table.add([
        point.profile.name, timeText(point.stages[\.firstToken].median),
        timeText(point.stages[\.prefill].median),
        fixed((1 / point.stages[\.decode]).median, 1),
        "\(fixed(point.operationRatio * 100, 0)) %", "\(fixed(point.keyValueRatio * 100, 0)) %",
        "\(fixed(point.stages[\.prefill].median / expected * 100, 0)) %",
      ])
    }
    return table.text
  }
}
