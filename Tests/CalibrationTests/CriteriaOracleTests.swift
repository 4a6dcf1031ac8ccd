import Architecture
import Calibration
import TensorCore
import TestSupport
import Testing

/// Statistics and choices on divergences that transformers measured, against numpy and scipy:
/// `tools/reference/make_criteria.py`.
@Suite struct CriteriaOracleTests {
  private struct Measured {
    var layerCount: Int
    var model: String
    /// In the order of the fixture: tasks by name, samples as in their list.
    var samples: [SampleDivergence]
    var expected: JSONValue

    func curves(percentile: Int = 95) -> CalibrationCurves {
      CalibrationCurves(samples, layerCount: layerCount, percentile: percentile)
    }
  }

  private func measured(_ name: String) throws -> Measured {
    func json(_ kind: String) throws -> JSONValue {
      let path = fixturePath("expected/\(name)-\(kind).json")
      return try JSONValue(parsing: try fileBytes(at: path, limit: 1 << 26), file: path)
    }
    let calibration = try json("calibration")
    let layerCount = try #require(calibration["layers"]?.integerValue)
    var samples: [SampleDivergence] = []
    for task in calibration["tasks"]?.arrayValue ?? [] {
      for sample in task["per_sample"]?.arrayValue ?? [] {
        samples.append(
          SampleDivergence(
            task: try #require(task["name"]?.stringValue),
            id: try #require(sample["file_name"]?.stringValue),
            kl: try #require(sample["kl"]?.arrayValue).prefix(layerCount).map { row in
              (row.arrayValue ?? []).compactMap(\.doubleValue)
            },
            agrees: try #require(sample["agree"]?.arrayValue).prefix(layerCount).map { row in
              (row.arrayValue ?? []).map { $0.integerValue == 1 }
            }))
      }
    }
    try #require(samples.count >= 6)
    return Measured(
      layerCount: layerCount, model: try #require(calibration["model"]?.stringValue),
      samples: samples, expected: try json("criteria"))
  }

  private func expectNear(_ found: Double?, _ expected: JSONValue?, _ what: String) throws {
    let a = try #require(found, "\(what)")
    let b = try #require(expected?.doubleValue, "\(what)")
    // The fixture has seven digits; Wilson's interval is cut at z = 1.96 here.
    #expect(abs(a - b) <= max(2e-6 * abs(b), 2e-5), "\(what): \(a), expected \(b)")
  }

  @Test(arguments: ["demo", "mini"])
  func statisticsAndIntervals(name: String) throws {
    let measured = try measured(name)
    let tasks = try #require(measured.expected["tasks"]?.arrayValue)
    let curves = measured.curves()
    #expect(curves.tasks.map(\.name) == tasks.map { $0["name"]?.stringValue })
    for (curve, task) in zip(curves.tasks, tasks) {
      for (point, expected) in zip(curve.points, task["points"]?.arrayValue ?? []) {
        let what = "\(curve.name), K = \(point.k)"
        try expectNear(point.meanKL, expected["mean_kl"], what)
        try expectNear(point.agreement, expected["agreement"], what)
        try expectNear(point.quantileKL, expected["quantile_kl"], what)
        let mean = expected["mean_kl_interval"]?.arrayValue
        #expect((point.meanInterval == nil) == (mean == nil), "\(what)")
        if let mean {
          try expectNear(point.meanInterval?.lowerBound, mean[0], what)
          try expectNear(point.meanInterval?.upperBound, mean[1], what)
        }
        let agreement = try #require(expected["agreement_interval"]?.arrayValue)
        try expectNear(point.agreementInterval.lowerBound, agreement[0], what)
        try expectNear(point.agreementInterval.upperBound, agreement[1], what)
      }
    }
  }

  @Test(arguments: ["demo", "mini"])
  func everyRuleTakesTheSameLayer(name: String) throws {
    let measured = try measured(name)
    let all = try #require(measured.expected["all"])
    let curves = measured.curves()
    #expect(Criterion.sustained.withdrawalLayer(curves) == all["default"]?.integerValue)
    for (task, k) in zip(curves.tasks, all["default_by_task"]?.arrayValue ?? []) {
      let alone = try #require(curves.only(task.name))
      #expect(Criterion.sustained.withdrawalLayer(alone) == k.integerValue, "\(task.name)")
    }
    let quantiles = try #require(all["quantile"]?.arrayValue)
    #expect(quantiles.count == 18)
    for row in quantiles {
      let percentile = try #require(row["percentile"]?.integerValue)
      var criterion = Criterion.quantile(percentile)
      criterion.eta = try #require(row["eta"]?.doubleValue)
      criterion.agreement = try #require(row["agreement"]?.doubleValue)
      let k = criterion.withdrawalLayer(measured.curves(percentile: percentile))
      #expect(k == row["k"]?.integerValue, "\(row)")
    }
    let shares = try #require(all["flops_ratio"]?.arrayValue).compactMap(\.doubleValue)
    let costs = WithdrawalCosts(
      operations: shares, keyValue: shares, keyValueBytes: shares.map { _ in 0 })
    for row in all["budget"]?.arrayValue ?? [] {
      let criterion = Criterion.budget(try #require(row["flops"]?.doubleValue), costs)
      #expect(criterion.withdrawalLayer(curves) == row["k"]?.integerValue, "\(row)")
    }
    let report = CalibrationReport(
      criterion: .sustained,
      setup: CalibrationReport.Setup(answerTokens: 8, seed: 0, holdout: 0), costs: costs,
      curves: curves, holdout: nil, refused: [])
    for (row, expected) in zip(report.thresholds, all["eta"]?.arrayValue ?? []) {
      #expect(row.eta == expected["eta"]?.doubleValue && row.k == expected["k"]?.integerValue)
    }
  }

  /// Four ways to keep a quarter apart; with the first, the held-out samples move K from 9 to 11.
  @Test(arguments: 0..<4)
  func heldOutSamplesMoveTheLayer(place: Int) throws {
    let measured = try measured("demo")
    let expected = try #require(measured.expected["splits"]?.arrayValue)[place]
    let byTask = Dictionary(grouping: measured.samples, by: \.task)
    var parts: (choosing: [SampleDivergence], checking: [SampleDivergence]) = ([], [])
    for samples in byTask.values {
      for (index, sample) in samples.enumerated() {
        if index % 4 == place {
          parts.checking.append(sample)
        } else {
          parts.choosing.append(sample)
        }
      }
    }
    let layers = measured.layerCount
    let report = CalibrationReport(
      criterion: .sustained,
      setup: CalibrationReport.Setup(answerTokens: 8, seed: 0, holdout: 0.25),
      costs: .ones(layers), curves: CalibrationCurves(parts.choosing, layerCount: layers),
      holdout: CalibrationCurves(parts.checking, layerCount: layers), refused: [])
    #expect(report.choice.calibrated == expected["k_calibrated"]?.integerValue)
    #expect(report.k == expected["k"]?.integerValue)
    let tasks = try #require(expected["by_task"]?.arrayValue)
    for (choice, task) in zip(report.taskChoices, tasks) {
      #expect(choice.calibrated == task["k_calibrated"]?.integerValue)
      #expect(choice.k == task["k"]?.integerValue)
    }
    let text = report.explanation.joined(separator: "\n")
    #expect(text.contains("relation decided"), "\(text)")
    let moves = report.k > report.choice.calibrated
    #expect(text.contains("moved up to K = 11") == moves, "\(text)")
    #expect(report.warnings.contains { $0.contains("moved from 9 to 11") } == moves)
  }

  @Test func orderOfTheSamplesChangesNothing() throws {
    let measured = try measured("demo")
    var shuffled = measured
    shuffled.samples.reverse()
    shuffled.samples.swapAt(3, 50)
    #expect(shuffled.curves() == measured.curves())
  }
}

extension WithdrawalCosts {
  /// Costs that say nothing, for `layers` layers.
  static func ones(_ layers: Int) -> WithdrawalCosts {
    let ones = Array(repeating: 1.0, count: layers + 1)
    return WithdrawalCosts(operations: ones, keyValue: ones, keyValueBytes: ones.map { _ in 0 })
  }
}
