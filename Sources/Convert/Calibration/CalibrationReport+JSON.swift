package import TensorCore

extension CalibrationReport {
  /// The record that the file stores and `--json` prints: `formats/calibration.md`.
  package var json: JSONValue {
    var object = JSONObject([
      ("criterion", criterionJSON),
      ("k", .integer(choice.k)),
      ("k_calibrated", .integer(choice.calibrated)),
      ("layers", .integer(curves.layerCount)),
      ("explanation", .array(explanation.map(JSONValue.string))),
    ])
    if let packing {
      object["packing"] = [
        "encoding": .string(packing.encoding), "source": .string(packing.source),
      ]
    }
    object["pooled"] = json(
      curves.pooled, nil, holdout: holdout?.pooled, migration: migration?.pooled,
      packing: packing?.curves.pooled)
    object["tasks"] = .array(
      zip(curves.tasks, taskChoices).map { task, choice in
        json(
          task, choice, holdout: holdout?.tasks.first { $0.name == task.name },
          migration: migration?.tasks.first { $0.name == task.name },
          packing: packing?.curves.tasks.first { $0.name == task.name })
      })
    object["eta"] = .array(thresholds.map(Self.json))
    object["layer_costs"] = .array(layerCosts)
    object["schedules"] = schedules?.json
    object["warnings"] = .array((setWarnings + warnings).map(JSONValue.string))
    object["refused"] = .array(refused.map(JSONValue.string))
    return .object(object)
  }

  private var criterionJSON: JSONValue {
    var object = JSONObject([
      ("rule", .string(criterion.rule.name)), ("eta", .number(criterion.eta)),
      ("agreement", .number(criterion.agreement)), ("first_layer", .integer(criterion.firstLayer)),
    ])
    if let percentile = criterion.percentile { object["percentile"] = .integer(percentile) }
    if case .budget(let share, _) = criterion.rule { object["flops"] = .number(share) }
    object["direction"] = "withdrawn||full"
    object["answer_tokens"] = .integer(setup.answerTokens)
    object["seed"] = .string(String(setup.seed))
    object["holdout"] = .number(setup.holdout)
    return .object(object)
  }

  private func json(
    _ task: TaskCurve, _ choice: Choice?, holdout: TaskCurve?, migration: TaskMigration?,
    packing: TaskCurve?
  ) -> JSONValue {
    var object = JSONObject([
      ("name", .string(task.name)), ("samples", .integer(task.sampleCount)),
      ("positions", .integer(task.positionCount)),
      ("holdout", .integer(holdout?.sampleCount ?? 0)),
    ])
    if let choice {
      object["k"] = .integer(choice.k)
      object["k_calibrated"] = .integer(choice.calibrated)
    }
    object["curve"] = .array(task.points.map(json))
    if let holdout {
      object["holdout_positions"] = .integer(holdout.positionCount)
      object["holdout_curve"] = .array(holdout.points.map(json))
    }
    object["migration"] = migration.map(Self.json)
    object["packing"] = packing.flatMap(Self.packingJSON)
    return .object(object)
  }

  private static func json(_ migration: TaskMigration) -> JSONValue {
    .object(
      JSONObject(
        MigrationGroup.allCases.map { group in
          let rows = migration[group]
          return (
            group.name,
            .object(
              JSONObject(
                [("rows", .integer(rows.rowCount))]
                  + MigrationQuantity.allCases.map {
                    ($0.name, .array(rows[$0].map(JSONValue.number)))
                  }))
          )
        }))
  }

  private static func packingJSON(_ curve: TaskCurve) -> JSONValue? {
    guard let point = curve.points.first else { return nil }
    var object = JSONObject([
      ("samples", .integer(curve.sampleCount)), ("positions", .integer(curve.positionCount)),
      ("mean_kl", .number(point.meanKL)), ("p95_kl", .number(point.p95KL)),
      ("max_kl", .number(point.maxKL)), ("agreement", .number(point.agreement)),
    ])
    if let interval = point.meanInterval { object["mean_kl_interval"] = json(interval) }
    object["agreement_interval"] = json(point.agreementInterval)
    return .object(object)
  }

  private func json(_ point: CurvePoint) -> JSONValue {
    var object = JSONObject([
      ("k", .integer(point.k)), ("mean_kl", .number(point.meanKL)),
      ("p95_kl", .number(point.p95KL)), ("max_kl", .number(point.maxKL)),
      ("agreement", .number(point.agreement)),
      ("first_token_mean_kl", .number(point.firstTokenMeanKL)),
    ])
    if criterion.percentile != nil { object["quantile_kl"] = .number(point.quantileKL) }
    if let interval = point.meanInterval { object["mean_kl_interval"] = Self.json(interval) }
    object["agreement_interval"] = Self.json(point.agreementInterval)
    return .object(object)
  }

  private static func json(_ interval: ClosedRange<Double>) -> JSONValue {
    .array([.number(interval.lowerBound), .number(interval.upperBound)])
  }

  private static func json(_ row: ThresholdRow) -> JSONValue {
    var object = JSONObject([
      ("eta", .number(row.eta)), ("k", .integer(row.k)), ("flops_ratio", .number(row.operations)),
      ("kv_ratio", .number(row.keyValue)), ("kv_bytes", .integer(row.keyValueBytes)),
      ("mean_kl", .number(row.meanKL)), ("agreement", .number(row.agreement)),
    ])
    object["holdout_mean_kl"] = row.heldoutMeanKL.map(JSONValue.number)
    object["holdout_agreement"] = row.heldoutAgreement.map(JSONValue.number)
    return .object(object)
  }

  /// Per K its costs and the loss of its worst task; `pareto` where no cheaper K loses as little.
  private var layerCosts: [JSONValue] {
    var least = Double.infinity
    return costs.operations.indices.map { k in
      let worst = k < curves.layerCount ? curves.worst(at: k) : nil
      let loss = worst?.point.meanKL ?? 0
      let isBest = loss < least
      least = min(least, loss)
      var object = JSONObject([
        ("k", .integer(k)), ("flops_ratio", .number(costs.operations[k])),
        ("kv_ratio", .number(costs.keyValue[k])), ("kv_bytes", .integer(costs.keyValueBytes[k])),
        ("worst_mean_kl", .number(loss)), ("pareto", .bool(isBest)),
      ])
      object["worst_task"] = worst.map { .string($0.name) }
      return .object(object)
    }
  }
}
