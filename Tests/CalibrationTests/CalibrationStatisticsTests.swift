import Architecture
import Calibration
import SampleSets
import TensorCore
import TestSupport
import Testing

@Suite struct CalibrationStatisticsTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let setup = CalibrationStatistics.Setup(
    model: "ab", set: "cd", sampleCount: 12, layerCount: 2, answerTokens: 3, seed: .max,
    holdout: 0.25, setWarnings: ["few"], setRefused: [RefusedSample(id: "z", reason: "gone")])

  /// Sample `index` of twelve; every fourth is held out, and every tenth refused.
  private static func sample(_ index: Int) -> CalibrationStatistics.Measured {
    var random = SplitMix64(seed: UInt64(index))
    let positions = 1 + index % 3
    let kl = (0..<2).map { _ in (0..<positions).map { _ in Double(random.next() >> 12) * 0x1p-40 } }
    var divergence = SampleDivergence(
      task: index % 2 == 0 ? "é" : "b", id: "s\(index)",
      kl: index == 5 ? kl.map { $0.map { _ in .infinity } } : kl,
      agrees: kl.map { row in row.map { $0 < 1 } },
      migration: index % 5 == 2
        ? nil
        : SampleMigration(question: sums(index, &random), answer: sums(1, &random)))
    if index % 3 == 1 {
      divergence.promptRows = PromptRows(text: index, visual: 9)
      for states in [[.frozen, .withdrawn], [.full, .frozen], [.frozen, .full]]
        as [[ScheduleProfile.VisualState]]
      {
        divergence.schedules[states] = AnswerDivergence(
          kl: kl[0].map { $0 + 1 }, agrees: kl[0].map { $0 < 1 })
      }
    }
    return .init(isHeldOut: index % 4 == 3, divergence)
  }

  private static func sums(_ rows: Int, _ random: inout SplitMix64) -> SampleMigration.Sums {
    .init(rowCount: rows, ticks: (0..<2).map { _ in (0..<5).map { _ in random.next() >> 12 } })
  }

  private static func statistics(
    _ indices: [Int], shard: CalibrationStatistics.Shard = .whole,
    setup: CalibrationStatistics.Setup = setup
  ) -> CalibrationStatistics {
    var statistics = CalibrationStatistics(setup, shard: shard)
    for index in indices {
      if index % 10 == 9 {
        statistics.add([], refused: [RefusedSample(id: "s\(index)", reason: "bad")])
      } else {
        statistics.add([sample(index)], refused: [])
      }
    }
    return statistics
  }

  private func write(_ statistics: CalibrationStatistics, _ name: String) throws -> String {
    try folder.write(statistics.json.text, to: name)
  }

  private func problem(_ body: () throws -> some Any) -> String? {
    do {
      _ = try body()
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test func readsBackWhatItWrote() throws {
    let whole = Self.statistics(Array(0..<12))
    let found = try CalibrationStatistics(at: try write(whole, "a"))
    #expect(found.json.text == whole.json.text)
    #expect(found.setup == whole.setup && found.doneCount == 12)
    // An infinite divergence comes back as the largest there is, which passes nothing.
    let infinite = try #require(found.divergences(heldOut: false).first { $0.id == "s5" })
    #expect(infinite.kl[0].allSatisfy { $0 == 0x1p24 })
  }

  /// What a search adds to samples that are measured counts once, whatever is known already.
  @Test func schedulesAreAddedToSamples() {
    var statistics = Self.statistics(Array(0..<12))
    let before = statistics.json.text
    var known = Self.sample(4).divergence
    let other = AnswerDivergence(
      kl: known.kl[0].map { _ in 7 }, agrees: known.kl[0].map { _ in true })
    for states in Array(known.schedules.keys) { known.schedules[states] = other }
    statistics.add(schedules: [known])
    #expect(statistics.json.text == before)
    known.schedules[[.frozen, .frozen]] = other
    known.id = "s5"
    statistics.add(schedules: [known])
    let found = statistics.measured.first { $0.divergence.id == "s5" }?.divergence
    #expect(found?.schedules.count == 4 && found?.schedules[[.frozen, .frozen]] == other)
    let rows = PromptRows(text: 1 + 4 + 7 + 10 + 4, visual: 5 * 9)
    #expect(statistics.promptRows == rows)
  }

  private func example(_ name: String) throws -> CalibrationStatistics {
    let path = repositoryPath("formats/examples/\(name)")
    let example = try CalibrationStatistics(at: path)
    #expect(
      example.json.text + "\n"
        == String(decoding: try fileBytes(at: path, limit: 9999), as: UTF8.self))
    return example
  }

  /// The same samples, compared with their source, one of them with its migration.
  @Test func readsAndWritesTheExampleWithEverything() throws {
    let found = try example("tiny-source.stats")
    #expect(found.setup.comparesSource)
    let samples = found.divergences(heldOut: false)
    let tick = 0x1p-40
    #expect(samples[0].packing == AnswerDivergence(kl: [0, tick], agrees: [true, false]))
    #expect(samples[1].migration == nil && samples[1].schedules.isEmpty)
    #expect(samples[0].promptRows == PromptRows(text: 12, visual: 576))
    let infinite = try #require(samples[0].schedules[[.frozen, .full]])
    #expect(infinite.kl == [4 * tick, 0x1p24] && infinite.agrees == [true, false])
    #expect(
      samples[0].schedules[[.frozen, .frozen]]
        == AnswerDivergence(kl: [6 * tick, 5 * tick], agrees: [true, true]))
    #expect(
      samples[2].migration
        == SampleMigration(
          question: .init(rowCount: 0, ticks: [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]),
          answer: .init(
            rowCount: 3,
            ticks: [[1 << 40, 1 << 39, 3 << 39, 1, 2], [3 << 40, 0, 0, 0, .max]])))
  }

  /// The page's example, written by hand; its samples have no migration, as in older files.
  @Test func readsAndWritesTheExample() throws {
    let example = try example("tiny.stats")
    var made = CalibrationStatistics(
      .init(
        model: String(repeating: "0f", count: 32), set: "c0ffee", sampleCount: 5, layerCount: 2,
        answerTokens: 3, seed: 7, holdout: 0.25, setWarnings: ["few samples"],
        setRefused: [RefusedSample(id: "gone.png", reason: "cannot be read")]),
      shard: .whole)
    func add(_ task: String, _ number: Int, _ isHeldOut: Bool, _ kl: [[Double]], _ agrees: [[Bool]])
    {
      made.add(
        [
          .init(
            isHeldOut: isHeldOut,
            SampleDivergence(task: task, id: "\(task)/\(number)", kl: kl, agrees: agrees))
        ], refused: [])
    }
    let tick = 0x1p-40
    add("a", 2, true, [[0.5], [7 * tick]], [[true], [true]])
    add(
      "é", 1, false, [[3 * tick, 4 * tick, 5 * tick], [2 * tick, 1.2 * tick, 0.5 * tick]],
      [[true, false, true], [true, true, true]])
    add("b", 1, false, [[0.25], [-1]], [[false], [true]])
    add("a", 1, false, [[1.5, 0], [tick, .nan]], [[false, true], [true, true]])
    made.add([], refused: [RefusedSample(id: "b/2", reason: "no picture")])
    #expect(made.json.text == example.json.text)
  }

  @Test func anyOrderAndAnySplitGiveTheSameBytes() throws {
    let whole = Self.statistics(Array(0..<12))
    #expect(Self.statistics([7, 3, 11, 0, 9, 1, 10, 2, 8, 4, 6, 5]).json.text == whole.json.text)
    for count in 1...5 {
      let parts = try (0..<count).reversed().map { index in
        let shard = CalibrationStatistics.Shard(index: index, count: count)
        let part = Self.statistics(shard.part(of: Array(0..<12)), shard: shard)
        let path = try write(part, "\(index)")
        return (file: path, statistics: try CalibrationStatistics(at: path))
      }
      let merged = try CalibrationStatistics(merging: parts)
      #expect(merged.json.text == whole.json.text, "\(count) shards")
    }
  }

  @Test func partsThatDoNotFitAreNamed() throws {
    typealias Part = (file: String, statistics: CalibrationStatistics)
    func refusal(_ parts: [Part]) -> String? {
      problem { try CalibrationStatistics(merging: parts) }
    }
    let even: Part = ("a.stats", Self.statistics([0, 2, 4, 6, 8, 10]))
    let odd: Part = ("b.stats", Self.statistics([1, 3, 5, 7, 9, 11]))
    #expect(refusal([even, odd]) == nil)
    #expect(refusal([even])?.contains("6 of 12 samples are measured") == true)
    let overlap: Part = ("c.stats", Self.statistics([1, 3, 5, 7, 9, 11, 4]))
    #expect(
      refusal([even, overlap])
        == "c.stats: has sample s4, and so has a.stats; a sample counts once")
    let changes: [(String, (inout CalibrationStatistics.Setup) -> Void)] = [
      ("another model", { $0.model = "x" }), ("other answer tokens", { $0.answerTokens = 4 }),
      ("another seed", { $0.seed = 1 }), ("another held-out share", { $0.holdout = 0.5 }),
      ("another use of --compare-source", { $0.comparesSource = true }),
      ("another set", { $0.set = "x" }), ("another set", { $0.sampleCount = 13 }),
    ]
    for (what, change) in changes {
      var setup = Self.setup
      change(&setup)
      let other: Part = ("o.stats", Self.statistics([1, 3], setup: setup))
      #expect(refusal([even, other])?.hasPrefix("o.stats: is of \(what)") == true, "\(what)")
    }
  }

  @Test(arguments: [
    ("\"vtwm-statistics\"", "\"other\"", "not a statistics file"),
    ("\"version\":1", "\"version\":2", "has version 2"),
    ("\"layers\":2", "\"layers\":3", "sample 0"), ("\"layers\":2", "\"layers\":0", "'layers'"),
    ("\"answer_tokens\":3", "\"answer_tokens\":2", "divergences"),
    ("\"samples\":12", "\"samples\":11", "more than the set's 11"),
    ("\"shard\":\"1/1\"", "\"shard\":\"2/1\"", "'shard'"),
    ("\"held_out\":false", "\"held_out\":0", "sample 0"),
    ("\"holdout\":0.25", "\"holdout\":7", "'holdout'"),
    ("\"refused\":[{", "\"refused\":[1,{", "'refused'"),
    ("\"id\":\"s1\"", "\"id\":\"s0\"", "twice"), ("\"kl\":[[", "\"kl\":[[-1,", "sample 0"),
    ("}", "", "not a statistics file"),
    ("\"set_warnings\"", "\"compare_source\":true,\"set_warnings\"", "sample 0: 'packing'"),
    ("\"sums\":[[", "\"sums\":[[1,", "sample 0: 'migration'"),
    ("\"sums\":[[", "\"sums\":[[0,0,0,0,0],[", "sample 0: 'migration'"),
    ("\"rows\":1", "\"rows\":-1", "sample 0: 'migration'"),
    ("\"sums\":[[", "\"sums\":[[-", "sample 0: 'migration'"),
    ("\"question\":{", "\"other\":{", "sample 0: 'migration'"),
    ("\"visual\":9", "\"visual\":-9", "'prompt'"),
    ("\"schedules\":[{", "\"schedules\":[{},{", "'schedules'"),
    ("\"updated\":[1]", "\"updated\":[2]", "'schedules'"),
    ("\"freeze\":1,", "\"freeze\":3,", "'schedules'"),
    ("\"freeze\":1,\"withdraw\":2", "\"freeze\":0,\"withdraw\":1", "'schedules'"),
    ("\"updated\":[1],\"kl\":[", "\"updated\":[1],\"kl\":[1,", "'schedules'"),
  ])
  func damagedFilesAreRefused(old: String, new: String, says: String) throws {
    let text = Self.statistics(Array(0..<12)).json.text
    let place = try #require(text.firstRange(of: old))
    let path = try folder.write(
      text[..<place.lowerBound] + new + text[place.upperBound...], to: "bad")
    let found = problem { try CalibrationStatistics(at: path) }
    #expect(found?.contains(says) == true && found?.contains("bad") == true, "\(found ?? "none")")
  }

  @Test(arguments: ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1/", "1/9999999999"])
  func wordsThatAreNoShard(text: String) {
    #expect(CalibrationStatistics.Shard(text) == nil)
  }

  @Test func shardsTakeEverySampleOnce() {
    for count in 1...7 {
      let parts = (1...count).compactMap {
        CalibrationStatistics.Shard("\($0)/\(count)")?.part(of: Array(0..<20))
      }
      #expect(parts.joined().sorted() == Array(0..<20))
    }
  }
}
