import Glibc
import TensorCore
import TestSupport
import Testing

/// vtweval from outside.
@Suite struct EvalTests {
  let folder: TemporaryFolder
  static let heldOut = repositoryPath("tools/demo-llava/heldout")

  init() throws { folder = try TemporaryFolder() }

  /// Packs `model`, which withdraws at `k` or as it is calibrated on `sets`.
  private func pack(_ model: String, _ options: [String]) throws -> String {
    let file = folder.path("m.vtwm")
    let done = try Programs.run("vtwconvert", [model, "-o", file, "--quiet"] + options)
    try #require(done.status == 0, "\(done.errors)")
    return file
  }

  private func packDemo(_ options: [String] = ["--k", "11"]) throws -> String {
    try pack(repositoryPath("tools/demo-llava/model"), options)
  }

  private func evaluate(_ arguments: [String]) throws -> ProgramResult {
    try Programs.run("vtweval", arguments + ["--quiet"])
  }

  private func lines(_ name: String) throws -> [JSONValue] {
    try fileBytes(at: folder.path(name), limit: 1 << 26).split(separator: 0x0A).map {
      try JSONValue(parsing: Array($0), file: name)
    }
  }

  /// `value` without what differs from run to run: everything that tells a time.
  private func withoutTimes(_ value: JSONValue) -> JSONValue {
    switch value {
    case .array(let items): return .array(items.map(withoutTimes))
    case .object(let object):
      let timed = ["seconds", "prefill", "first_token"]
      return .object(
        JSONObject(
          object.members.filter { member in !timed.contains { member.key.hasPrefix($0) } }
            .map { ($0.key, withoutTimes($0.value)) }))
    default: return value
    }
  }

  // MARK: Against the oracle

  /// KL and agreement of every sample, answer position and some K against transformers, with and
  /// without an answer in the set: `make_calibration.py`.
  @Test(arguments: [("demo", [5, 8, 10]), ("mini", [1, 3])])
  func divergencesEqualTransformers(name: String, layers: [Int]) throws {
    let expected = try JSONValue(
      parsing: try fileBytes(
        at: fixturePath("expected/\(name)-calibration.json"), limit: 1 << 26), file: name)
    let file = try pack(
      repositoryPath(try #require(expected["model"]?.stringValue)), ["--encoding", "f32"])
    let done = try evaluate(
      [
        file, repositoryPath(try #require(expected["set"]?.stringValue)), "--json", "--results",
        folder.path("r.jsonl"),
      ] + layers.flatMap { ["--k", "\($0)"] })
    try #require(done.status == 0, "\(done.errors)")
    let found = try lines("r.jsonl").dropFirst()
    let samples = (expected["tasks"]?.arrayValue ?? []).flatMap {
      $0["per_sample"]?.arrayValue ?? []
    }
    try #require(found.count == samples.count && samples.count > 4)
    for (have, want) in zip(found, samples) {
      let runs = try #require(have["runs"]?.arrayValue)
      try #require(runs.count == layers.count + 1)
      #expect(runs[0]["kl"]?.arrayValue?.allSatisfy { $0 == .number(0) } == true)
      for (run, k) in zip(runs.dropFirst(), layers) {
        let kl = run["kl"]?.arrayValue?.compactMap(\.doubleValue) ?? []
        let wanted = want["kl"]?.arrayValue?[k].arrayValue?.compactMap(\.doubleValue) ?? []
        try #require(kl.count == wanted.count && !kl.isEmpty, "\(have)")
        for (a, b) in zip(kl, wanted) {
          #expect(abs(a - b) <= max(5e-4 * b, 1e-6), "\(have["id"] ?? .null), K = \(k): \(a), \(b)")
        }
        let agrees = want["agree"]?.arrayValue?[k].arrayValue?.map { $0 == 1 ? "1" : "0" }
        #expect(run["agrees"]?.stringValue == agrees?.joined())
      }
    }
  }

  // MARK: Rules and tasks

  @Test func rulesFollowTheSet() throws {
    let file = try pack(fixturePath("models/gqa"), ["--k", "2"])
    let sets = fixturePath("sample-sets")
    func tasks(_ arguments: [String]) throws -> [JSONValue] {
      let done = try evaluate([file, "--json"] + arguments)
      try #require(done.status == 0, "\(done.errors)")
      return done.status == 0
        ? try done.json["profiles"]?.arrayValue?.first?["tasks"]?.arrayValue ?? [] : []
    }
    let mme = try tasks(["\(sets)/mme"])
    for task in mme {
      #expect(task["score"]?.objectValue?.members.map(\.key) == ["yes-no"], "\(task)")
      #expect(task["accuracy_plus_n"]?.integerValue ?? 0 > 0)
    }
    let choice = try tasks(["\(sets)/vlmevalkit/choice.tsv"])
    #expect(choice.last?["score"]?["option"]?.integerValue ?? 0 > 0)
    let asked = try tasks(["x=\(sets)/mme/OCR", "y=\(sets)/mme/artwork", "--score", "x=contains"])
    #expect(asked[0]["score"]?.objectValue?.members.map(\.key) == ["contains"])
    #expect(asked[1]["score"]?.objectValue?.members.map(\.key) == ["yes-no"])
  }

  @Test func everyProfileIsComparedWithTheFullModel() throws {
    let set = repositoryPath("tools/demo-llava/calib")
    let file = try packDemo(
      ["--calib", "colors=\(set)/colors", "--calib", "relation=\(set)/relation"])
    func profiles(_ options: [String]) throws -> [JSONValue] {
      let done = try evaluate([file, Self.heldOut, "--limit", "6", "--json"] + options)
      try #require(done.status == 0, "\(done.errors)")
      return try done.json["profiles"]?.arrayValue ?? []
    }
    func names(_ profiles: [JSONValue]) -> [String] {
      profiles.compactMap { $0["name"]?.stringValue }
    }
    #expect(try names(profiles([])) == ["default"])
    let all = try profiles(["--all-profiles", "--k", "12"])
    #expect(names(all).sorted() == ["colors", "default", "k=12", "relation"])
    let one = try profiles(["--profile", "colors", "--k", "0"])
    #expect(names(one) == ["colors", "k=0"])
    // The same profile gives the same, whatever runs beside it.
    let beside = try #require(all.first { $0["name"] == "colors" })
    #expect(withoutTimes(one[0]) == withoutTimes(beside))
    for task in all.last?["tasks"]?.arrayValue ?? [] {
      #expect(task["agreement"] == .number(1) && task["mean_kl"] == .number(0))
      #expect(task["seconds_ratio"] == .number(1) && task["accuracy"] == task["accuracy_full"])
    }
    let blind = try #require(one[1]["tasks"]?.arrayValue?.last)
    #expect(try #require(blind["accuracy_difference"]?.doubleValue) < -0.3)
    let table = try evaluate([file, Self.heldOut, "--limit", "6", "--all-profiles"])
    #expect(table.output.contains("profile relation, K ="), "\(table.output)")
    // The held-out set has tasks without a profile.
    #expect(!table.output.contains("own"))
  }

  /// Schedules that freeze are named by their layers, and tasks may each run under their own.
  @Test func schedulesAreNamedByTheirLayers() throws {
    let set = repositoryPath("tools/demo-llava/calib")
    let file = try packDemo(
      [
        "--calib", "colors=\(set)/colors", "--calib", "relation=\(set)/relation", "--schedule",
        "auto",
      ])
    let tasks = ["colors", "relation"].map { "\($0)=\(Self.heldOut)/\($0)" }
    let arguments = [file] + tasks + ["--limit", "6", "--all-profiles", "--schedule", "layers=0,3"]
    let done = try evaluate(arguments + ["--json", "--results", folder.path("r.jsonl")])
    try #require(done.status == 0, "\(done.errors)")
    let profiles = try done.json["profiles"]?.arrayValue ?? []
    let last = try #require(profiles.last)
    #expect(last["name"]?.stringValue == "layers=0,3" && last["k"] == 12)
    #expect(
      last["schedule"]
        == [[0, 1, "full"], [1, 3, "frozen"], [3, 4, "full"], [4, 12, "frozen"]])
    let own = try #require(try done.json["own_profiles"]?.arrayValue)
    #expect(own.first?["profiles"] == ["colors": "colors", "relation": "relation"])
    for result in own {
      // A task's row is that of its profile.
      for (task, name) in result["profiles"]?.objectValue?.members ?? [] {
        let profile = try #require(profiles.first { $0["name"] == name })
        func row(_ value: JSONValue) -> JSONValue? {
          value["tasks"]?.arrayValue?.first { $0["name"]?.stringValue == task }
        }
        #expect(row(result) == row(profile) && row(result) != nil)
      }
    }
    let header = try JSONValue(
      parsing: Array(
        try fileBytes(at: folder.path("r.jsonl"), limit: 1 << 20).prefix { $0 != 0x0A }),
      file: "r.jsonl")
    #expect(header["schedules"]?.arrayValue?.last?["segments"] == last["schedule"])
    let table = try evaluate(arguments)
    #expect(table.output.contains("profile auto, █"), "\(table.output)")
    #expect(table.output.contains("profile layers=0,3, █▒▒█▒▒▒▒▒▒▒▒ visual rows are frozen in 10"))
    #expect(table.output.contains("each task's own profile\n"))
  }

  // MARK: Stopping and going on

  /// SIGINT after some questions, then a kill that leaves half a line, then the rest: all as if
  /// nothing had happened, times aside.
  @Test func anInterruptedEvaluationGoesOn() throws {
    let file = try packDemo()
    let arguments = [file, Self.heldOut, "--k", "6", "--json", "--results"]
    let whole = try evaluate(arguments + [folder.path("whole.jsonl")])
    try #require(whole.status == 0, "\(whole.errors)")
    let script = """
      import os, signal, subprocess, sys
      signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the test's own threads block all
      path = sys.argv[1]
      program = subprocess.Popen(sys.argv[2:])
      while program.poll() is None:
          if os.path.exists(path) and open(path, "rb").read().count(b"\\n") > 3:
              program.send_signal(signal.SIGINT)
              break
      sys.exit(program.wait())
      """
    let part = folder.path("part.jsonl")
    let stopped = try Programs.run(
      "/usr/bin/env",
      ["python3", "-c", script, part, Programs.path("vtweval")] + arguments + [part, "--quiet"])
    #expect(stopped.status == 130, "\(stopped.errors)")
    #expect(stopped.errors.contains("--resume"), "\(stopped.errors)")
    let done = try #require(try stopped.json["done"]?.integerValue)
    #expect(done >= 3 && done < 96)
    #expect(try stopped.json["questions"]?.integerValue == 96)
    let kept = try lines("part.jsonl")
    #expect(kept.count == done + 1)

    // What a kill in the middle of a write leaves.
    let bytes = try fileBytes(at: part, limit: 1 << 26)
    try folder.write(Array(bytes.dropLast(40)), to: "part.jsonl")
    let again = try evaluate(arguments + [part])
    #expect(again.status == 65 && again.errors.contains("--resume"), "\(again.errors)")
    let other = try evaluate(arguments + [part, "--resume", "--max-tokens", "2"])
    #expect(other.status == 65 && other.errors.contains("--max-tokens"), "\(other.errors)")
    let resumed = try evaluate(arguments + [part, "--resume"])
    try #require(resumed.status == 0, "\(resumed.errors)")
    #expect(try withoutTimes(resumed.json) == withoutTimes(whole.json))
    #expect(try lines("part.jsonl").map(withoutTimes) == lines("whole.jsonl").map(withoutTimes))
    #expect(try lines("part.jsonl")[..<done] == kept[..<done])
    // Once more there is nothing to do, and the times are those of before.
    let nothing = try evaluate(arguments + [part, "--resume"])
    #expect(nothing.output == resumed.output)
  }

  /// A limit on file sizes stands in for a full disk.
  @Test func resultsThatCannotBeWrittenEndTheRun() throws {
    let file = try packDemo()
    let done = try Programs.run(
      "/bin/sh",
      [
        "-c", "ulimit -f 2; exec \"$@\"", "sh", Programs.path("vtweval"), file, Self.heldOut,
        "--results", folder.path("r.jsonl"),
      ])
    #expect(done.status == 1 && done.errors.contains("File too large"), "\(done.errors)")
    let resumed = try evaluate(
      [file, Self.heldOut, "--results", folder.path("r.jsonl"), "--resume"])
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(try lines("r.jsonl").count == 97)
  }

  @Test func aQuestionThatCannotBeAskedIsNamedAndCounted() throws {
    let file = try packDemo()
    try folder.write([0x89, 0x50, 0x4E, 0x47], to: "set/broken.png")
    try folder.link("set/good.png", to: "\(Self.heldOut)/colors/000.png")
    let arguments = [file, folder.path("set"), "--json", "--results", folder.path("r.jsonl")]
    for options in [[], ["--resume"]] {
      let done = try evaluate(arguments + options)
      #expect(done.status == 0 && done.errors.contains("broken.png"), "\(done.errors)")
      #expect(try done.json["refused"] == 1 && done.json["done"] == 2)
      #expect(try lines("r.jsonl").count == 3)
    }
  }

  // MARK: Bad input

  @Test func badInputIsOneLine() throws {
    let file = try packDemo()
    let set = Self.heldOut
    for (arguments, says) in [
      ([file, set, "--k", "13"], "outside 0...12"),
      ([file, set, "--profile", "x"], "it has default"),
      ([file, set, "--score", "x=exact"], "the set has"),
      ([file, set, "--results", file], "is also an input"),
      ([file, folder.path("none")], "no such file"),
    ] {
      let done = try evaluate(arguments)
      #expect(done.status == 65 && done.output.isEmpty, "\(arguments): \(done.output)")
      #expect(done.errors.contains(says), "\(arguments): \(done.errors)")
      #expect(done.errors.split(separator: "\n").count == 1)
    }
    let unwritable = try evaluate([file, set, "--results", folder.path("none/r.jsonl")])
    #expect(unwritable.status == 1 && unwritable.errors.contains("cannot be written"))
    for options in [
      ["--score", "best"], ["--score", "=exact"], ["--score", "exact", "--score", "option"],
      ["--resume"], ["--all-profiles", "--profile", "a"], ["--calib-tokens", "0"],
      ["--against", file, "--k", "3"], ["--against", file, "--results", "r"],
    ] { #expect(try evaluate([file, set] + options).status == 64, "\(options)") }
  }
}
