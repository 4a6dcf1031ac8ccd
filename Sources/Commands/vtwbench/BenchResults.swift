import Architecture
import CommandSupport
import Kernels
import TensorCore

/// Rounds of one profile.
struct StageSamples {
  private(set) var rounds: [StageSeconds] = []

  mutating func add(_ round: StageSeconds) { rounds.append(round) }

  subscript(path: KeyPath<StageSeconds, Double>) -> Samples {
    Samples(rounds.map { $0[keyPath: path] })
  }
}

/// What was measured beside the stages in the same rounds.
struct CeilingSamples {
  /// Operations per second by unit; without those the processor has not.
  var units: [ArithmeticUnit: Samples] = [:]
  /// Bytes per second.
  var stream = Samples()
  /// Operations per second of the decoder's products with 640 and with 64 rows.
  var many = Samples()
  var few = Samples()
  /// Bytes of weights per second of products with one row.
  var single = Samples()
}

/// Sizes that turn seconds into rates.
struct BenchWork {
  var k: Int
  var layerCount: Int
  var encoding: Encoding
  var unit: ArithmeticUnit
  var visionUnit: ArithmeticUnit?
  var threads: Int
  var instructionSet: String
  /// How keys and values are held.
  var precision: String
  var textRows: Int
  var visualRows: Int
  var visionOperations: Double
  var weightBytes: Int
  /// Per side: cost of the prefill, and bytes of cache that the last token read.
  var fullCost: ScheduleCost
  var withdrawnCost: ScheduleCost
  var fullCacheBytes = 0
  var withdrawnCacheBytes = 0

  var rows: Int { textRows + visualRows }
}

/// Everything that a run measured.
struct BenchResults {
  var work: BenchWork
  var full = StageSamples()
  var withdrawn = StageSamples()
  var ceilings = CeilingSamples()
  var sweep: Sweep?

  /// One side's stages and what they come to.
  private struct Side {
    var stages: StageSamples
    var cost: ScheduleCost
    var cacheBytes: Int
  }

  private var sides: (full: Side, withdrawn: Side) {
    (
      Side(stages: full, cost: work.fullCost, cacheBytes: work.fullCacheBytes),
      Side(stages: withdrawn, cost: work.withdrawnCost, cacheBytes: work.withdrawnCacheBytes)
    )
  }

  // MARK: Rates and shares

  /// Operations per second of a prefill, attention included.
  private func prefillRate(_ side: Side) -> Samples {
    side.cost.operations / side.stages[\.prefill]
  }

  /// The least time that the prefill's products need at the ceiling, as a share of its time.
  private func prefillShare(_ side: Side) -> Samples {
    guard let ceiling = ceilings.units[work.unit] else { return Samples() }
    return (side.cost.productOperations / side.stages[\.prefill]) / ceiling
  }

  /// Bytes per second that decoding reads: all weights and the cache, once per token.
  private func decodeRate(_ side: Side) -> Samples {
    Double(work.weightBytes + side.cacheBytes) / side.stages[\.decode]
  }

  private var visionRate: Samples {
    guard work.visionOperations > 0 else { return Samples() }
    return work.visionOperations / full[\.vision]
  }

  private var visionShare: Samples {
    guard let unit = work.visionUnit, let ceiling = ceilings.units[unit] else { return Samples() }
    return visionRate / ceiling
  }

  private func share(_ rate: Samples) -> Samples {
    ceilings.units[work.unit].map { rate / $0 } ?? Samples()
  }

  /// "–" for a stage that took no time, as vision without images.
  private func ratioText(_ path: KeyPath<StageSeconds, Double>) -> String {
    let median = ratio(path).median
    return median.isFinite ? fixed(median, 2) : "–"
  }

  /// Full over withdrawn, round by round.
  private func ratio(_ path: KeyPath<StageSeconds, Double>) -> Samples {
    full[path] / withdrawn[path]
  }

  // MARK: JSON

  private func json(_ side: Side) -> JSONValue {
    var object = JSONObject()
    for stage in StageSeconds.stages { object.set(stage.name, side.stages[stage.path]) }
    object.set("prefill_gops", prefillRate(side), scale: 1e-9)
    object.set("prefill_share", prefillShare(side))
    object.set("decode_gbs", decodeRate(side), scale: 1e-9)
    object.set("decode_share", decodeRate(side) / ceilings.stream)
    object["tokens_per_second"] = [
      "prefill": .number(rounded((Double(work.rows) / side.stages[\.prefill]).median)),
      "decode": .number(rounded((1 / side.stages[\.decode]).median)),
    ]
    return .object(object)
  }

  var json: JSONValue {
    var ceiling = JSONObject()
    for (name, unit) in [
      ("int8_gops", ArithmeticUnit.int8), ("bf16_gflops", .bf16), ("f32_gflops", .f32),
    ] {
      ceiling.set(name, ceilings.units[unit] ?? Samples(), scale: 1e-9)
    }
    ceiling.set("stream_gbs", ceilings.stream, scale: 1e-9)
    var share = JSONObject()
    share["unit"] = .string(work.unit.rawValue)
    share.set("gemm_m640", self.share(ceilings.many))
    share.set("gemm_m64", self.share(ceilings.few))
    share.set("gemv", ceilings.single / ceilings.stream)
    share.set("vision", visionShare)
    var ratio = JSONObject()
    for (name, path) in StageSeconds.stages where name != "vision" {
      ratio.set(name, self.ratio(path))
    }
    var result = JSONObject([
      ("k", .integer(work.k)), ("layers", .integer(work.layerCount)),
      ("runs", .integer(full.rounds.count)), ("threads", .integer(work.threads)),
      ("kv", .string(work.precision)),
      ("isa", .string(work.instructionSet)), ("encoding", .string(work.encoding.name)),
      ("rows", ["text": .integer(work.textRows), "visual": .integer(work.visualRows)]),
      ("full", json(sides.full)), ("withdrawn", json(sides.withdrawn)),
      ("ratio", .object(ratio)), ("ceiling", .object(ceiling)), ("share", .object(share)),
    ])
    if let sweep { result["sweep"] = sweep.json }
    return .object(result)
  }

  // MARK: Text

  var text: String {
    var page = TextTable(columns: [14, 20, 20, 8])
    page.add(["", "full", "K = \(work.k)", "ratio"])
    for stage in StageSeconds.stages {
      page.add([
        stage.name, timing(full[stage.path]), timing(withdrawn[stage.path]),
        ratioText(stage.path),
      ])
    }
    page.add(["prefill", rate(sides.full), rate(sides.withdrawn)])
    page.add(["", products(sides.full), products(sides.withdrawn)])
    page.add(["decode", reading(sides.full), reading(sides.withdrawn)])
    page.add(["", streamShare(sides.full), streamShare(sides.withdrawn)])
    var text = page.text + "\n"
    text += "decoder products, \(work.encoding.name): share of the ceiling of this run\n"
    var shares = TextTable(columns: [14, 20, 20, 8])
    for (unit, ceiling) in ceilings.units.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      shares.add(["\(unit.rawValue) peak", gigas(ceiling, "GOP/s")])
    }
    for (rows, rate) in [
      (ProductMeter.manyRows, ceilings.many), (ProductMeter.fewRows, ceilings.few),
    ] {
      shares.add(["\(rows) rows", gigas(rate, "GOP/s"), percent(share(rate), of: work.unit)])
    }
    shares.add(["stream", gigas(ceilings.stream, "GB/s")])
    let single = ceilings.single / ceilings.stream
    shares.add(["1 row", gigas(ceilings.single, "GB/s"), percent(single) + " of stream"])
    if let unit = work.visionUnit, work.visualRows > 0 {
      shares.add(["vision tower", gigas(visionRate, "GOP/s"), percent(visionShare, of: unit)])
    }
    text += shares.text + "\n"
    if let sweep { text += sweep.text + "\n" }
    return text + """
      medians of \(full.rounds.count) interleaved rounds, ± half the spread; decode is per token; \
      \(work.textRows) text and \(work.visualRows) visual rows, \(work.threads) threads, \
      \(work.instructionSet), keys and values in \
      \(work.precision)

      """
  }

  private func timing(_ samples: Samples) -> String {
    "\(timeText(samples.median)) ±\(timeText(samples.spread / 2))"
  }

  private func rate(_ side: Side) -> String { gigas(prefillRate(side), "GOP/s") }

  private func products(_ side: Side) -> String { percent(prefillShare(side), of: work.unit) }

  private func reading(_ side: Side) -> String { gigas(decodeRate(side), "GB/s") }

  private func streamShare(_ side: Side) -> String {
    percent(decodeRate(side) / ceilings.stream) + " of stream"
  }

  private func gigas(_ samples: Samples, _ unit: String) -> String {
    let value = samples.median * 1e-9
    return "\(fixed(value, value < 100 ? 1 : 0)) \(unit)"
  }

  /// Empty where there is no ceiling.
  private func percent(_ share: Samples, of unit: ArithmeticUnit) -> String {
    share.values.isEmpty ? "" : percent(share) + " of \(unit.rawValue)"
  }

  private func percent(_ samples: Samples) -> String { "\(fixed(samples.median * 100, 0)) %" }
}
