package import Architecture
package import TensorCore

/// Everything a calibration found out: what is stored in the file, printed, and drawn.
package struct CalibrationReport: Equatable, Sendable {
  /// A threshold and the K it leads to.
  package struct EtaChoice: Equatable, Sendable {
    package var eta: Double
    package var k: Int
  }

  package var criterion: Criterion
  package var answerTokens: Int
  package var seed: UInt64
  package var k: Int
  package var curves: CalibrationCurves
  /// Curves of the samples kept apart; nil if none were.
  package var holdout: CalibrationCurves?
  package var etaChoices: [EtaChoice]
  package var warnings: [String]
  /// Refused samples with the reason.
  package var refused: [String]

  // 1-2-3-5 steps over the thresholds that papers and practice use; 0.003 is the published one.
  private static let etas = [
    1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 3e-2, 5e-2, 1e-1,
  ]

  package init(
    criterion: Criterion, answerTokens: Int, seed: UInt64, curves: CalibrationCurves,
    holdout: CalibrationCurves?, refused: [String]
  ) {
    self.criterion = criterion
    self.answerTokens = answerTokens
    self.seed = seed
    self.curves = curves
    self.holdout = holdout
    self.refused = refused
    let k = criterion.withdrawalLayer(curves)
    self.k = k
    etaChoices = Self.etas.map { eta in
      // By KL alone: whoever trades by threshold sees the agreement beside it.
      var other = criterion
      other.eta = eta
      other.agreement = 0
      return EtaChoice(eta: eta, k: other.withdrawalLayer(curves))
    }
    warnings = curves.tasks.filter { $0.ignoresImage(eta: criterion.eta) }.map {
      "task '\(printable($0.name))': these questions do not need the image "
        + "(mean KL without it is \(fixed($0.points.first?.meanKL ?? 0, 4)))"
    }
    if k == curves.layerCount {
      warnings.append("no withdrawal layer meets the criterion; visual rows are never withdrawn")
    }
    if let holdout, k < curves.layerCount {
      for task in holdout.tasks where !criterion.passes(task.points[k]) {
        warnings.append(
          "task '\(printable(task.name))' misses the criterion on held-out samples at K = \(k) "
            + "(mean KL \(fixed(task.points[k].meanKL, 4)), "
            + "agreement \(fixed(100 * task.points[k].agreement, 1)) %)")
      }
    }
  }

  /// The record that the file stores and `--json` prints.
  package var json: JSONValue {
    [
      "criterion": [
        "rule": .string(criterion.rule.rawValue), "eta": .number(criterion.eta),
        "agreement": .number(criterion.agreement), "first_layer": .integer(criterion.firstLayer),
        "direction": "withdrawn||full", "answer_tokens": .integer(answerTokens),
        "seed": .string(String(seed)),
      ],
      "k": .integer(k),
      "layers": .integer(curves.layerCount),
      "pooled": Self.json(curves.pooled, holdout: holdout?.pooled),
      "tasks": .array(
        curves.tasks.map { task in
          Self.json(task, holdout: holdout?.tasks.first { $0.name == task.name })
        }),
      "eta": .array(
        etaChoices.map { ["eta": .number($0.eta), "k": .integer($0.k)] }),
      "warnings": .array(warnings.map(JSONValue.string)),
      "refused": .array(refused.map(JSONValue.string)),
    ]
  }

  private static func json(_ task: TaskCurve, holdout: TaskCurve?) -> JSONValue {
    var object = JSONObject([
      ("name", .string(task.name)), ("samples", .integer(task.sampleCount)),
      ("positions", .integer(task.positionCount)),
      ("holdout", .integer(holdout?.sampleCount ?? 0)), ("curve", json(task.points)),
    ])
    if let holdout { object["holdout_curve"] = json(holdout.points) }
    return .object(object)
  }

  private static func json(_ points: [CurvePoint]) -> JSONValue {
    .array(
      points.map {
        [
          "k": .integer($0.k), "mean_kl": .number($0.meanKL), "p95_kl": .number($0.p95KL),
          "max_kl": .number($0.maxKL), "agreement": .number($0.agreement),
          "first_token_mean_kl": .number($0.firstTokenMeanKL),
        ]
      })
  }

  /// The thresholds with what was measured at their K, as the file's plan stores them.
  ///
  /// Thresholds that lead to K = layerCount are left out: there nothing is withdrawn.
  package var candidates: [ScheduleCandidate] {
    etaChoices.filter { $0.k < curves.layerCount }.map { choice in
      let point = curves.pooled.points[choice.k]
      return ScheduleCandidate(
        eta: Float(choice.eta), withdrawalLayer: choice.k, meanKL: Float(point.meanKL),
        maxKL: Float(point.maxKL), agreement: Float(point.agreement),
        sampleCount: curves.pooled.sampleCount)
    }
  }

  /// Why this K was chosen, in words.
  package var explanation: String {
    let rule =
      switch criterion.rule {
      case .paper:
        "paper preset: first K >= \(criterion.firstLayer) whose first-token mean KL over all "
          + "samples is at most \(fixed(criterion.eta, 4))"
      case .sustained:
        "default criterion: every task's mean KL at most \(fixed(criterion.eta, 4)) and top-1 "
          + "agreement at least \(fixed(100 * criterion.agreement, 0)) %, from K on"
      }
    guard k > 0, k <= curves.layerCount, criterion.rule == .sustained else { return rule }
    let before = curves.tasks.filter { !criterion.passes($0.points[k - 1]) }.map {
      let point = $0.points[k - 1]
      return "\(printable($0.name)) (KL \(fixed(point.meanKL, 4)), agreement "
        + "\(fixed(100 * point.agreement, 1)) %)"
    }
    return before.isEmpty
      ? rule : rule + "; K = \(k - 1) fails for " + before.joined(separator: ", ")
  }

  /// The curve as a table for a terminal, one line per task, K in columns.
  package var table: String {
    let shown = max(0, min(k, curves.layerCount) - 6)..<curves.layerCount
    let nameWidth = max(8, curves.tasks.map(\.name.count).max() ?? 0)
    func line(_ name: String, _ cells: [String]) -> String {
      let padded = name + String(repeating: " ", count: max(0, nameWidth - name.count))
      return "  " + padded
        + cells.map { String(repeating: " ", count: max(1, 9 - $0.count)) + $0 }.joined() + "\n"
    }
    var text = line("K", shown.map(String.init))
    for task in curves.tasks + [curves.pooled] {
      text += line(
        printable(task.name, limit: nameWidth),
        shown.map { k in
          let point = task.points[k]
          return fixed(point.meanKL, 4) + (criterion.passes(point) ? " " : "*")
        })
    }
    text += "  mean KL(withdrawn‖full) in nats per answer position; * misses the criterion\n"
    return text
  }
}
