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
    [
      "format": .string(Self.format), "version": .integer(Self.version),
      "model": .string(setup.model), "set": .string(setup.set),
      "samples": .integer(setup.sampleCount), "layers": .integer(setup.layerCount),
      "answer_tokens": .integer(setup.answerTokens), "seed": .string(String(setup.seed)),
      "holdout": .number(setup.holdout), "shard": .string(shard.text),
      "set_warnings": .array(setup.setWarnings.map(JSONValue.string)),
      "set_refused": .array(setup.setRefused.map(Self.json)),
      "refused": .array(refused.map(Self.json)),
      "measured": .array(measured.map(Self.json)),
    ]
  }

  private static func json(_ sample: RefusedSample) -> JSONValue {
    ["id": .string(sample.id), "reason": .string(sample.reason)]
  }

  private static func json(_ sample: Measured) -> JSONValue {
    let divergence = sample.divergence
    return [
      "task": .string(divergence.task), "id": .string(divergence.id),
      "held_out": .bool(sample.isHeldOut),
      "kl": .array(divergence.kl.map { row in .array(row.map(ticks)) }),
      "agrees": .array(
        divergence.agrees.map { row in .string(row.map { $0 ? "1" : "0" }.joined()) }),
    ]
  }

  /// A divergence as a multiple of the unit of `DivergenceSum`; one beyond `Int` as a number, which
  /// is exact too.
  private static func ticks(_ kl: Double) -> JSONValue {
    let ticks = DivergenceSum.ticks(of: kl)
    return Int(exactly: ticks).map(JSONValue.integer) ?? .number(Double(ticks))
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
        setRefused: try reader.refused("set_refused")),
      shard: shard)
    var measured: [Measured] = []
    for (index, sample) in try reader.array("measured").enumerated() {
      guard let found = Measured(sample, layers: layers, positions: positions) else {
        throw InputError(
          path, "sample \(index) does not hold \(layers) rows of at most \(positions) divergences")
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
  /// Nil unless `value` has a row per layer, all of one length up to `positions`.
  fileprivate init?(_ value: JSONValue, layers: Int, positions: Int) {
    guard let task = value["task"]?.stringValue, let id = value["id"]?.stringValue,
      let isHeldOut = value["held_out"]?.boolValue, let kl = value["kl"]?.arrayValue,
      let agrees = value["agrees"]?.arrayValue, kl.count == layers, agrees.count == layers
    else { return nil }
    let rows = kl.map { row in
      (row.arrayValue ?? []).compactMap { value in
        value.doubleValue.flatMap { $0 >= 0 ? $0 * DivergenceSum.tick : nil }
      }
    }
    let matches = agrees.map { row in (row.stringValue ?? "").utf8.map { $0 == UInt8(ascii: "1") } }
    guard let count = rows.first?.count, (1...positions).contains(count),
      zip(kl, rows).allSatisfy({ $0.arrayValue?.count == count && $1.count == count }),
      matches.allSatisfy({ $0.count == count })
    else { return nil }
    self.init(
      isHeldOut: isHeldOut, SampleDivergence(task: task, id: id, kl: rows, agrees: matches))
  }
}
