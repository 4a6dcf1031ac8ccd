import Architecture
import Evaluation
import Glibc
import SampleSets
import TensorCore
import TestSupport
import Testing

@Suite struct ResultsFileTests {
  let folder: TemporaryFolder
  let path: String
  static let samples = [
    Results.sample("1"), Results.sample("zwei\n\"2\""), Results.sample("3", answer: nil),
  ]
  static let records: [ResultsFile.Record] = [
    .result(
      Results.result(
        "1",
        [
          Results.run(),
          Results.run(
            "ro\u{7}t \"🐈\"\n", tokens: 3, correct: false, prefill: 0.1, decode: 1e-7,
            kl: [0.1, DivergenceLimit.largest], agrees: [true, false]),
        ])),
    .refused(RefusedSample(id: "zwei\n\"2\"", reason: "is no image")),
    .result(
      Results.result(
        "3", rule: nil, [Results.run("", tokens: 0, correct: nil), Results.run(correct: nil)])),
  ]

  private enum DivergenceLimit { static let largest = 0x1p24 }

  init() throws {
    folder = try TemporaryFolder()
    path = folder.path("r.jsonl")
  }

  private func open(
    _ setup: EvaluationSetup = Results.setup(), resumes: Bool = true, inputs: [String] = []
  ) throws(InputError) -> ResultsFile {
    try ResultsFile(path, setup: setup, samples: Self.samples, resumes: resumes, inputs: inputs)
  }

  private func write(_ records: some Sequence<ResultsFile.Record> = Self.records) throws {
    let file = try open(resumes: false)
    for record in records { try file.append(record) }
  }

  private func bytes() throws -> [UInt8] { try fileBytes(at: path, limit: 1 << 20) }

  private func expectRefused(
    _ message: String, _ setup: EvaluationSetup = Results.setup(), resumes: Bool = true,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let before = try bytes()
    let error = #expect(throws: InputError.self, sourceLocation: sourceLocation) {
      _ = try open(setup, resumes: resumes)
    }
    let text = try #require(error).description
    #expect(text.contains(message), "\(text)", sourceLocation: sourceLocation)
    #expect(!text.contains("\n") && text.contains("r.jsonl"), sourceLocation: sourceLocation)
    #expect(try bytes() == before, sourceLocation: sourceLocation)
  }

  @Test func readsWhatWasWritten() throws {
    try write()
    #expect(try open().earlier == Self.records)
    #expect(try open().earlier == Self.records)
    // One line for the setup, and one for each question.
    #expect(try bytes().filter { $0 == 0x0A }.count == 4)
  }

  /// Killed at any byte, the file is gone on with from its last whole line.
  @Test func aFileCutAnywhereGoesOn() throws {
    try write()
    let whole = try bytes()
    let header = try #require(whole.firstIndex(of: 0x0A)) + 1
    for length in stride(from: header, through: whole.count, by: 7) {
      try folder.write(Array(whole[..<length]), to: "r.jsonl")
      do {
        let file = try open()
        let lines = whole[..<length].count { $0 == 0x0A } - 1
        #expect(file.earlier == Array(Self.records[..<lines]))
        for record in Self.records[lines...] { try file.append(record) }
      }
      #expect(try bytes() == whole)
    }
  }

  @Test func aFileCutInItsFirstLineBeginsAnew() throws {
    try write([])
    let whole = try bytes()
    for length in [0, 1, 20, whole.count - 1] {
      try folder.write(Array(whole[..<length]), to: "r.jsonl")
      #expect(try open(resumes: true).earlier.isEmpty)
      #expect(try bytes() == whole)
    }
    try folder.write("{\"format\":\"vtwm-stat", to: "r.jsonl")
    try expectRefused("is not a results file")
  }

  @Test func anEarlierRunIsNotOverwritten() throws {
    try write()
    try expectRefused("--resume", resumes: false)
  }

  @Test func resultsOfAnythingElseAreRefused() throws {
    try write()
    let other = EvaluationPlan(
      [ScheduleProfile(name: "default", withdrawingAt: 3, of: 4)], layerCount: 4)
    let renamed = EvaluationPlan(
      [ScheduleProfile(name: "other", withdrawingAt: 2, of: 4)], layerCount: 4)
    for (setup, says) in [
      (Results.setup(model: "n"), "another model"), (Results.setup(set: "n"), "another set"),
      (Results.setup(count: 4), "another set"), (Results.setup(plan: other), "other profiles"),
      (Results.setup(plan: renamed), "other profiles"), (Results.setup(threads: 1), "threads"),
      (Results.setup { $0.maxTokens = 1 }, "--max-tokens"),
      (Results.setup { $0.comparedTokens = 1 }, "--calib-tokens"),
      (Results.setup { $0.rules = ["": .contains] }, "--score"),
    ] { try expectRefused(says, setup) }
  }

  @Test(arguments: [
    ("{", "line 2 is not valid JSON"), ("", "line 2 is not valid JSON"),
    ("{\"id\":\"1\"}", "line 2 does not hold a result"), ("[]", "no question of the set"),
    ("{\"id\":\"4\",\"refused\":\"x\"}", "no question of the set"),
    (
      "{\"id\":\"1\",\"refused\":\"x\"}\n{\"id\":\"1\",\"refused\":\"x\"}",
      "line 3 is of a question that an earlier line has"
    ),
  ])
  func damageIsNamedByItsLine(lines: String, says: String) throws {
    try write([])
    try folder.write(try bytes() + Array((lines + "\n").utf8), to: "r.jsonl")
    try expectRefused(says)
  }

  /// Every member of a result missing, null, or of another kind.
  @Test(arguments: ["task", "score", "seconds", "runs"])
  func resultsAreChecked(member: String) throws {
    try write([Self.records[0]])
    let lines = try bytes().split(separator: 0x0A).map(Array.init)
    var object = try #require(try JSONValue(parsing: lines[1], file: "").objectValue)
    for value: JSONValue? in [nil, .null, .array([]), .integer(-1), "x"] {
      object[member] = value
      let text = JSONValue.object(object).text + "\n"
      try folder.write(lines[0] + [0x0A] + Array(text.utf8), to: "r.jsonl")
      try expectRefused("line 2 does not hold a result")
    }
  }

  @Test(arguments: ["answer", "tokens", "end", "correct", "seconds", "kl", "agrees"])
  func runsAreChecked(member: String) throws {
    try write([Self.records[0]])
    let lines = try bytes().split(separator: 0x0A).map(Array.init)
    var object = try #require(try JSONValue(parsing: lines[1], file: "").objectValue)
    let runs = try #require(object["runs"]?.arrayValue)
    for value: JSONValue? in [nil, .null, .array([]), .array(["x"]), .integer(-1)] {
      var run = try #require(runs[1].objectValue)
      run[member] = value
      object["runs"] = .array([runs[0], .object(run)])
      let text = JSONValue.object(object).text + "\n"
      try folder.write(lines[0] + [0x0A] + Array(text.utf8), to: "r.jsonl")
      try expectRefused("line 2 does not hold a result")
    }
  }

  @Test func otherFilesStayAsTheyAre() throws {
    for text in ["notes\n", "{\"a\":1}\n", "\u{89}PNG\n"] {
      try folder.write(text, to: "r.jsonl")
      try expectRefused("is not a results file")
    }
    let error = #expect(throws: InputError.self) { _ = try open(inputs: [path]) }
    #expect(try #require(error).description.contains("is also an input"))
    let newer = "{\"format\":\"vtwm-results\",\"version\":2}\n"
    try folder.write(newer, to: "r.jsonl")
    try expectRefused("another version")
  }

  @Test func twoRunsDoNotShareAFile() throws {
    let file = try open()
    try expectRefused("by another run")
    try file.append(Self.records[0])
  }
}
