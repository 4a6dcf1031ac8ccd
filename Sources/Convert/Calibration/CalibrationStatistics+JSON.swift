import Architecture
import SampleSets
import Statistics
package import TensorCore

/// The statistics as a file: `formats/statistics.md`.
extension CalibrationStatistics {
  private static let format = "vtwm-statistics"
  private static let version = 1
  private static let limits = JSONLimits(
    byteCount: 1 << 31, depth: 8, valueCount: 100_000_000, stringByteCount: 1 << 20)

  package var json: JSONValue {
    var object = JSONObject([
      ("format", .string(Self.format)), ("version", .integer(Self.version)),
      ("model", .string(setup.model)), ("set", .string(setup.set)),
      ("samples", .integer(setup.sampleCount)), ("layers", .integer(setup.layerCount)),
      ("answer_tokens", .integer(setup.answerTokens)), ("seed", .string(String(setup.seed))),
      ("holdout", .number(setup.holdout)), ("shard", .string(shard.text)),
    ])
    if setup.comparesSource { object["compare_source"] = true }
    object["set_warnings"] = .array(setup.setWarnings.map(JSONValue.string))
    object["set_refused"] = .array(setup.setRefused.map(Self.json))
    object["refused"] = .array(refused.map(Self.json))
    object["measured"] = .array(measured.map(Self.json))
    return .object(object)
  }

  private static func json(_ sample: RefusedSample) -> JSONValue {
    ["id": .string(sample.id), "reason": .string(sample.reason)]
  }

  private static func json(_ sample: Measured) -> JSONValue {
    let divergence = sample.divergence
    var object = JSONObject([
      ("task", .string(divergence.task)), ("id", .string(divergence.id)),
      ("held_out", .bool(sample.isHeldOut)), ("kl", .array(divergence.kl.map(json))),
      ("agrees", .array(divergence.agrees.map(json))),
    ])
    if let packing = divergence.packing {
      object["packing"] = ["kl": json(packing.kl), "agrees": json(packing.agrees)]
    }
    if let rows = divergence.promptRows {
      object["prompt"] = ["text": .integer(rows.text), "visual": .integer(rows.visual)]
    }
    if !divergence.schedules.isEmpty {
      let sorted = divergence.schedules.sorted { $0.key.lexicographicallyPrecedes($1.key) }
      object["schedules"] = .array(
        sorted.map { states, divergence in
          var members = ScheduleProfile.recordMembers(states)
          members["kl"] = json(divergence.kl)
          members["agrees"] = json(divergence.agrees)
          return .object(members)
        })
    }
    if let migration = divergence.migration {
      object["migration"] = .object(
        JSONObject(
          MigrationGroup.allCases.map { group in
            let sums = migration[group]
            return (
              group.name,
              [
                "rows": .integer(sums.rowCount),
                "sums": .array(sums.ticks.map { .array($0.map(json)) }),
              ]
            )
          }))
    }
    return .object(object)
  }

  private static func json(_ divergences: [Double]) -> JSONValue {
    .array(divergences.map { json(DivergenceSum.ticks(of: $0)) })
  }

  private static func json(_ agrees: [Bool]) -> JSONValue {
    .string(agrees.map { $0 ? "1" : "0" }.joined())
  }

  /// A multiple of the unit of `DivergenceSum`; one beyond `Int` as a number, which is exact too.
  private static func json(_ ticks: UInt64) -> JSONValue {
    Int(exactly: ticks).map(JSONValue.integer) ?? .number(Double(ticks))
  }

  /// Reads the file at `path`.
  ///
  /// - Throws: `InputError` if it is none of ours, or damaged.
  package init(at path: String) throws(InputError) {
    let bytes = try fileBytes(at: path, limit: Self.limits.byteCount)
    let value: JSONValue
    do {
      value = try JSONValue(parsing: bytes, limits: Self.limits)
    } catch {
      throw InputError(path, "is not a statistics file: \(error)")
    }
    let reader = Reader(value: value, path: path)
    guard value["format"]?.stringValue == Self.format else {
      throw InputError(path, "is not a statistics file of vtwconvert")
    }
    let version = try reader.integer("version", 0...Int.max)
    guard version == Self.version else {
      throw InputError(path, "has version \(version); this build reads \(Self.version)")
    }
    guard let shard = Shard(try reader.string("shard")) else {
      throw InputError(path, "'shard' is no number of shards, such as 2/4")
    }
    guard let seed = UInt64(try reader.string("seed")) else {
      throw InputError(path, "'seed' is no number in quotes")
    }
    guard let holdout = value["holdout"]?.doubleValue, (0...1).contains(holdout) else {
      throw InputError(path, "'holdout' is no share")
    }
    let layers = try reader.integer("layers", 1...1024)
    let positions = try reader.integer("answer_tokens", 1...4096)
    self.init(
      Setup(
        model: try reader.string("model"), set: try reader.string("set"),
        sampleCount: try reader.integer("samples", 0...Int.max), layerCount: layers,
        answerTokens: positions, seed: seed, holdout: holdout,
        setWarnings: try reader.array("set_warnings").compactMap(\.stringValue),
        setRefused: try reader.refused("set_refused"),
        comparesSource: value["compare_source"]?.boolValue ?? false),
      shard: shard)
    var measured: [Measured] = []
    for (index, sample) in try reader.array("measured").enumerated() {
      guard var found = Measured(sample, layers: layers, positions: positions) else {
        throw InputError(
          path, "sample \(index) does not hold \(layers) rows of at most \(positions) divergences")
      }
      if let problem = found.readRest(sample, comparesSource: setup.comparesSource) {
        throw InputError(path, "sample \(index): \(problem)")
      }
      measured.append(found)
    }
    let refused = try reader.refused("refused")
    add(measured, refused: refused)
    guard doneIDs.count == doneCount, doneCount <= setup.sampleCount else {
      throw InputError(path, "has a sample twice, or more than the set's \(setup.sampleCount)")
    }
  }

  private struct Reader {
    let value: JSONValue
    let path: String

    func string(_ key: String) throws(InputError) -> String {
      guard let text = value[key]?.stringValue else { throw missing(key, "a text") }
      return text
    }

    func integer(_ key: String, _ range: ClosedRange<Int>) throws(InputError) -> Int {
      guard let number = value[key]?.integerValue, range.contains(number) else {
        throw missing(key, "a whole number in \(range.lowerBound)...\(range.upperBound)")
      }
      return number
    }

    func array(_ key: String) throws(InputError) -> [JSONValue] {
      guard let array = value[key]?.arrayValue else { throw missing(key, "an array") }
      return array
    }

    func refused(_ key: String) throws(InputError) -> [RefusedSample] {
      var samples: [RefusedSample] = []
      for sample in try array(key) {
        guard let id = sample["id"]?.stringValue, let reason = sample["reason"]?.stringValue else {
          throw missing(key, "samples with id and reason")
        }
        samples.append(RefusedSample(id: id, reason: reason))
      }
      return samples
    }

    private func missing(_ key: String, _ expected: String) -> InputError {
      InputError(path, "'\(key)' is not \(expected)")
    }
  }
}

extension CalibrationStatistics.Measured {
  /// Nil unless `value` has a row per layer, all of one length up to `positions`; what else the
  /// sample may have is `readRest`'s.
  fileprivate init?(_ value: JSONValue, layers: Int, positions: Int) {
    guard let task = value["task"]?.stringValue, let id = value["id"]?.stringValue,
      let isHeldOut = value["held_out"]?.boolValue, let kl = value["kl"]?.arrayValue,
      let agrees = value["agrees"]?.arrayValue, kl.count == layers, agrees.count == layers,
      let count = kl.first?.arrayValue?.count, (1...positions).contains(count)
    else { return nil }
    var rows: [AnswerDivergence] = []
    for (kl, agrees) in zip(kl, agrees) {
      guard let row = AnswerDivergence(kl, agrees, positions: count) else { return nil }
      rows.append(row)
    }
    self.init(
      isHeldOut: isHeldOut,
      SampleDivergence(task: task, id: id, kl: rows.map(\.kl), agrees: rows.map(\.agrees)))
  }

  /// Reads what packing changed, which a set that is compared with its source has for each sample;
  /// where the image goes and the rows of the prompt, which older files lack; and the schedules.
  ///
  /// - Returns: what is wrong; nil if nothing is.
  fileprivate mutating func readRest(_ value: JSONValue, comparesSource: Bool) -> String? {
    if comparesSource {
      guard
        let packing = AnswerDivergence(
          value["packing"]?["kl"], value["packing"]?["agrees"], positions: divergence.kl[0].count)
      else { return "'packing' does not hold a divergence for each position" }
      divergence.packing = packing
    }
    if let sums = value["migration"] {
      let layers = divergence.kl.count
      guard let question = SampleMigration.Sums(sums["question"], layers: layers),
        let answer = SampleMigration.Sums(sums["answer"], layers: layers)
      else { return "'migration' does not hold the sums of \(layers) layers" }
      divergence.migration = SampleMigration(question: question, answer: answer)
    }
    if let rows = value["prompt"] {
      guard let text = rows["text"]?.integerValue, let visual = rows["visual"]?.integerValue,
        (0...1 << 20).contains(text), (0...1 << 20).contains(visual)
      else { return "'prompt' does not hold its rows" }
      divergence.promptRows = PromptRows(text: text, visual: visual)
    }
    guard let schedules = value["schedules"] else { return nil }
    for schedule in schedules.arrayValue ?? [.null] {
      guard
        let states = ScheduleProfile.states(schedule, layerCount: divergence.kl.count),
        let found = AnswerDivergence(
          schedule["kl"], schedule["agrees"], positions: divergence.kl[0].count),
        divergence.schedules.updateValue(found, forKey: states) == nil
      else { return "'schedules' does not hold a divergence for each position, once a schedule" }
    }
    return nil
  }
}

extension AnswerDivergence {
  /// Nil unless there are `positions` divergences and as many marks of agreement.
  fileprivate init?(_ kl: JSONValue?, _ agrees: JSONValue?, positions: Int) {
    guard let kl = kl?.arrayValue, let agrees = agrees?.stringValue?.utf8, kl.count == positions,
      agrees.count == positions
    else { return nil }
    let values = kl.compactMap { value in
      value.doubleValue.flatMap { $0 >= 0 ? $0 * DivergenceSum.tick : nil }
    }
    guard values.count == positions else { return nil }
    self.init(kl: values, agrees: agrees.map { $0 == UInt8(ascii: "1") })
  }
}

extension SampleMigration.Sums {
  /// Nil unless there are rows, and for each layer a sum of each quantity.
  fileprivate init?(_ value: JSONValue?, layers: Int) {
    let quantities = MigrationQuantity.allCases.count
    guard let rows = value?["rows"]?.integerValue, (0...1 << 20).contains(rows),
      let sums = value?["sums"]?.arrayValue, sums.count == layers
    else { return nil }
    let ticks = sums.map { layer in
      (layer.arrayValue ?? []).compactMap { value in
        value.integerValue.flatMap { UInt64(exactly: $0) }
          ?? value.doubleValue.flatMap { $0 < 0x1p63 ? nil : $0 < 0x1p64 ? UInt64($0) : .max }
      }
    }
    guard
      zip(sums, ticks).allSatisfy({
        $0.arrayValue?.count == quantities && $1.count == quantities
      })
    else { return nil }
    self.init(rowCount: rows, ticks: ticks)
  }
}
