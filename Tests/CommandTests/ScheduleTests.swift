import TensorCore
import TestSupport
import Testing

/// Schedules that freeze visual rows, from outside: against transformers, from the search to the
/// answer, and what is refused.
@Suite struct ScheduleTests {
  let folder: TemporaryFolder
  static let demo = repositoryPath("tools/demo-llava/model")
  static let calibration = repositoryPath("tools/demo-llava/calib")
  static let heldOut = repositoryPath("tools/demo-llava/heldout")

  init() throws { folder = try TemporaryFolder() }

  private func convert(_ output: String, _ options: [String]) throws -> ProgramResult {
    try Programs.run(
      "vtwconvert", [Self.demo, "-o", folder.path(output), "--quiet"] + options)
  }

  /// A torch loop at random schedules: `tools/reference/make_schedules.py`.
  @Test(arguments: ["demo", "gqa", "mqa", "sharded"])
  func equalsTransformersUnderRandomSchedules(name: String) throws {
    let expected = try Fixture(at: fixturePath("expected/schedules/\(name).safetensors"))
    let model = try #require(expected.metadata["model"])
    let images = try JSONValue(
      parsing: Array(try #require(expected.metadata["images"]).utf8), file: name)
    let file = folder.path("m.vtwm")
    let converted = try Programs.run(
      "vtwconvert", [repositoryPath(model), "-o", file, "--encoding", "f32", "--quiet"])
    try #require(converted.status == 0, "\(converted.errors)")
    var arguments = [
      file, "--raw", "-p", try #require(expected.metadata["prompt"]), "-n", "32", "--ignore-eos",
      "--json",
    ]
    for image in images.arrayValue ?? [] {
      let name = image.stringValue ?? ""
      arguments += [
        "--image", name.contains("/") ? repositoryPath(name) : fixturePath("images/\(name)"),
      ]
    }
    let trace = folder.path("trace.safetensors")
    var count = 0
    while let schedule = expected.metadata["\(count).schedule"] {
      let run = try Programs.run(
        "vtwrun", arguments + ["--schedule", schedule, "--trace", trace])
      try #require(run.status == 0, "\(run.errors)")
      let found = try Fixture(at: trace)
      for (tensor, want) in expected.tensors where tensor.hasPrefix("\(count).") {
        let short = String(tensor.dropFirst("\(count).".count))
        let what = "\(name), \(schedule), \(short)"
        if short == "generated" {
          let ids = try run.json["token_ids"]?.arrayValue?.compactMap(\.integerValue)
          #expect(ids == want.integers, "\(what)")
          continue
        }
        let have = try found[short]
        #expect(have.shape == want.shape, "\(what)")
        let range = (want.floats.max() ?? 0) - (want.floats.min() ?? 0)
        if short == "logits" {
          expectClose(
            have.floats, want.floats, relative: 0, absolute: OracleTests.logitTolerance * range,
            what)
        } else {
          expectClose(have.floats, want.floats, relative: OracleTests.hiddenTolerance, what)
        }
      }
      count += 1
    }
    #expect(count == 6)
  }

  /// The bounded search and the whole grid choose the same, with the same numbers; running the
  /// profile gives the KL that the search found; and the default profile is as without a search.
  @Test func theSearchFindsWhatTheGridHas() throws {
    let options = [
      "--encoding", "f32", "--calib", Self.calibration, "--holdout", "0", "--eta", "0.003",
      "--json",
    ]
    let plain = try convert("plain.vtwm", options)
    let searched = try convert("auto.vtwm", options + ["--schedule", "auto"])
    let grid = try convert("grid.vtwm", options + ["--schedule", "auto", "--exhaustive"])
    for done in [plain, searched, grid] { try #require(done.status == 0, "\(done.errors)") }
    #expect(try plain.json["k"] == searched.json["k"])
    #expect(try plain.json["tasks"] == searched.json["tasks"])
    #expect(try plain.json["schedules"] == nil)
    let chosen = try #require(try searched.json["schedules"]?["chosen"])
    let other = try #require(try grid.json["schedules"]?["chosen"])
    #expect(chosen["freeze"] == other["freeze"] && chosen["withdraw"] == other["withdraw"])
    let loss = try #require(chosen["worst_mean_kl"]?.doubleValue)
    #expect(abs(loss - (other["worst_mean_kl"]?.doubleValue ?? 1)) < 1e-6)
    #expect(try #require(chosen["set_flops_ratio"]?.doubleValue) <= 0.5)
    #expect(try #require(chosen["flops_ratio"]?.doubleValue) <= 0.65)
    #expect(loss <= 0.003)
    // 66 schedules that freeze and withdraw, 12 that only freeze, withdrawal at 0...12; those that
    // freeze nowhere are withdrawal.
    #expect(try grid.json["schedules"]?["points"]?.arrayValue?.count == 78 + 13)

    let set = folder.path("auto.vtwm")
    let measured = try Programs.run(
      "vtweval", [set, Self.calibration, "--profile", "auto", "--json", "--quiet"])
    try #require(measured.status == 0, "\(measured.errors)")
    let profile = try #require(try measured.json["profiles"]?.arrayValue?.first)
    #expect(profile["name"]?.stringValue == "auto")
    // By a pass of its own for each sample.
    let tasks = try #require(chosen["tasks"]?.arrayValue)
    #expect(tasks.count == 6)
    for own in tasks {
      let task = profile["tasks"]?.arrayValue?.first { $0["name"] == own["name"] }
      let found = try #require(task?["mean_kl"]?.doubleValue)
      // vtweval rounds to six places; the rows beside them change last bits of products.
      #expect(abs(found - (own["mean_kl"]?.doubleValue ?? 1)) < 2e-6, "\(own): \(found)")
    }
    let checked = try Programs.run(
      "/usr/bin/env",
      ["python3", repositoryPath("tools/vtwm.py"), "calibration", folder.path("grid.vtwm")])
    #expect(checked.status == 0 && checked.output.contains("schedule 'auto'"), "\(checked.errors)")

    let overview = try Programs.run("vtwinfo", [set]).output
    #expect(overview.contains(" auto: visual rows are frozen from layer"))
    let drawn = try Programs.run("vtwinfo", [set, "--report", folder.path("r.html")])
    #expect(drawn.status == 0, "\(drawn.errors)")
    let report = try WellFormedPage(
      String(decoding: fileBytes(at: folder.path("r.html"), limit: 1 << 26), as: UTF8.self))
    #expect(report.texts("h2").contains("Schedules beyond withdrawal"))
    #expect(report.texts("text").filter { $0 == "auto" }.count == 2)
    #expect(report.texts("td").contains(fixed(loss, 5)))
    let page = try Programs.run("vtwinfo", [set, "--calibration"]).output
    #expect(page.contains("schedules beyond withdrawal (auto, by flops): 'auto' was chosen"))
    let bench = try Programs.run(
      "vtwbench",
      [
        set, "--runs", "1", "--warmup", "0", "--decode", "1", "--profile", "auto", "--also", "auto",
        "1-12", "layers=0", "11", "--json",
      ])
    try #require(bench.status == 0, "\(bench.errors)")
    #expect(
      try bench.json["sweep"]?.arrayValue?.compactMap { $0["name"]?.stringValue }
        == ["full", "auto", "1-12", "layers=0", "11"])
    let answer = try Programs.run(
      "vtwrun", [set, "--profile", "auto", "-p", "hello", "-n", "2", "--stats"])
    #expect(answer.status == 0 && answer.errors.contains("frozen from layer"), "\(answer.errors)")
  }

  @Test func schedulesOfOtherKindsAreMeasuredAndKept() throws {
    let options = [
      "--encoding", "q8", "--calib", Self.calibration, "--calib-limit", "12", "--json",
    ]
    for (schedule, name) in [
      ("freeze", "freeze"), ("2-9", "2-9"), ("layers=0,1,2,3,4,5", "layers=0,1,2,3,4,5"),
      ("greedy", "greedy"),
    ] {
      let done = try convert("m.vtwm", options + ["--schedule", schedule, "--force"])
      try #require(done.status == 0, "\(done.errors)")
      let chosen = try #require(try done.json["schedules"]?["chosen"])
      #expect(chosen["name"]?.stringValue == name)
      let profiles = try done.json["profiles"]?.arrayValue ?? []
      #expect(profiles.count >= 2 && profiles[1]["name"]?.stringValue == name)
      #expect(profiles[0]["name"]?.stringValue == "default")
      let verified = try Programs.run("vtwinfo", [folder.path("m.vtwm"), "--verify"])
      #expect(verified.status == 0, "\(verified.errors)")
    }
    // Costs of another kind, and a schedule by hand beside the profiles of a packed file.
    let kv = try convert(
      "kv.vtwm", options + ["--schedule", "auto", "--objective", "kv"])
    #expect(try kv.json["schedules"]?["objective"]?.stringValue == "kv")
    let time = try convert(
      "time.vtwm", options + ["--schedule", "auto", "--objective", "time"])
    #expect(try time.json["schedules"]?["layer_seconds"]?["full"]?.doubleValue ?? 0 > 0)
    let budget = try convert(
      "budget.vtwm",
      options + ["--schedule", "auto", "--exhaustive", "--flops", "0.6"])
    #expect(try budget.json["schedules"]?["chosen"]?["flops_ratio"]?.doubleValue ?? 1 <= 0.6)
    let given = try Programs.run(
      "vtwconvert",
      [folder.path("kv.vtwm"), "-o", folder.path("given.vtwm"), "--schedule", "3-7", "--quiet"])
    try #require(given.status == 0, "\(given.errors)")
    let plan = try Programs.run("vtwinfo", [folder.path("given.vtwm"), "--plan"]).output
    #expect(plan.contains("███▒▒▒▒·····") && plan.contains("profile auto"))
  }

  /// Measured at once, in shards, from what an earlier run without a search kept, or after an end at
  /// any sample: the same file.
  @Test func anySplitOfASearchGivesTheSameFile() throws {
    let set = ["--calib", Self.calibration, "--calib-limit", "36", "--eta", "0.003"]
    func same(_ name: String, _ whole: String) throws {
      #expect(
        try fileBytes(at: folder.path(name), limit: 1 << 28)
          == fileBytes(at: folder.path(whole), limit: 1 << 28), "\(name)")
    }
    let search = ["--schedule", "auto"]
    let grid = search + ["--exhaustive"]
    for (name, options) in [
      ("plain.vtwm", ["--stats", folder.path("plain")]), ("auto.vtwm", search),
      ("grid.vtwm", grid + ["--stats", folder.path("grid")]),
    ] {
      let done = try convert(name, set + options)
      try #require(done.status == 0, "\(done.errors)")
    }
    for index in 1...2 {
      let shard = try Programs.run(
        "vtwconvert",
        [Self.demo, "--shard", "\(index)/2", "--stats", folder.path("s\(index)"), "--quiet"] + set
          + grid)
      try #require(shard.status == 0, "\(shard.errors)")
    }
    let shards = [folder.path("s2"), folder.path("s1")]
    let merged = try convert("merged.vtwm", ["--eta", "0.003", "--merge"] + shards + grid)
    try #require(merged.status == 0, "\(merged.errors)")
    try same("merged.vtwm", "grid.vtwm")
    // The grid holds what others ask of it, but not everything.
    let freeze = try convert(
      "f.vtwm", ["--merge"] + shards + ["--schedule", "freeze", "--json"])
    #expect(freeze.status == 0, "\(freeze.errors)")
    #expect(try freeze.json["schedules"]?["chosen"]?["withdraw"] == 12)
    let lacking = try convert(
      "n.vtwm", ["--merge", folder.path("plain"), "--schedule", "freeze"])
    #expect(lacking.status == 65 && lacking.errors.contains("36 of 36 samples lack"))

    // Half of the samples measured, half of those with some schedules.
    let cut = """
      import json, sys
      with open(sys.argv[1]) as file: part = json.load(file)
      part["measured"] = part["measured"][::2]
      for sample in part["measured"][::2]: sample["schedules"] = sample["schedules"][7:]
      for sample in part["measured"][1::4]: del sample["schedules"], sample["prompt"]
      with open(sys.argv[2], "w") as file: json.dump(part, file)
      """
    let parted = try Programs.run(
      "/usr/bin/env", ["python3", "-c", cut, folder.path("grid"), folder.path("part")])
    try #require(parted.status == 0, "\(parted.errors)")
    for (name, whole, options) in [
      ("r1.vtwm", "auto.vtwm", search + ["--stats", folder.path("plain")]),
      ("r2.vtwm", "grid.vtwm", grid + ["--stats", folder.path("part")]),
    ] {
      let done = try convert(name, set + options + ["--resume"])
      try #require(done.status == 0, "\(done.errors)")
      try same(name, whole)
    }
    let check = try Programs.run(
      "/usr/bin/env",
      ["python3", repositoryPath("tools/vtwm.py"), "calibration", folder.path("grid.vtwm")]
        + shards)
    #expect(check.status == 0 && check.output.contains("36 measured samples"), "\(check.errors)")
  }

  /// SIGINT while schedules are searched: what was measured stays, and --resume goes on.
  @Test func anInterruptedSearchGoesOn() throws {
    let script = """
      import os, signal, subprocess, sys
      signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the test's own threads block all
      program = subprocess.Popen(sys.argv[2:])
      while program.poll() is None:
          if os.path.exists(sys.argv[1]):  # the sweep over K is done
              program.send_signal(signal.SIGINT)
              break
      sys.exit(program.wait())
      """
    let options = [
      "--calib", Self.calibration, "--calib-limit", "12", "--schedule", "greedy", "--quiet",
    ]
    let (statistics, file) = (folder.path("s"), folder.path("m.vtwm"))
    let stopped = try Programs.run(
      "/usr/bin/env",
      ["python3", "-c", script, statistics, Programs.path("vtwconvert"), Self.demo, "-o", file]
        + options + ["--stats", statistics])
    #expect(
      stopped.status == 130 && stopped.errors.contains("--resume goes on"), "\(stopped.errors)")
    let resumed = try convert("m.vtwm", options + ["--stats", statistics, "--resume"])
    try #require(resumed.status == 0, "\(resumed.errors)")
    try #require(try convert("n.vtwm", options).status == 0)
    #expect(
      try fileBytes(at: file, limit: 1 << 28)
        == fileBytes(at: folder.path("n.vtwm"), limit: 1 << 28))
  }

  /// Each task has a schedule of its own, which costs no more than that for all or its K.
  @Test func tasksHaveSchedulesOfTheirOwn() throws {
    let done = try convert(
      "m.vtwm",
      [
        "--calib", Self.calibration, "--eta", "0.003", "--schedule", "auto", "--exhaustive",
        "--json",
      ])
    try #require(done.status == 0, "\(done.errors)")
    let found = try done.json
    let profiles = found["profiles"]?.arrayValue ?? []
    func share(_ name: String) -> Double? {
      profiles.first { $0["name"]?.stringValue == name }?["flops_ratio"]?.doubleValue
    }
    let auto = try #require(share("auto"))
    let own = try #require(found["schedules"]?["own"]?.arrayValue)
    #expect(own.count == 6 && profiles.count == 2 + 6 + 6)
    for schedule in own {
      let task = try #require(schedule["task"]?.stringValue)
      #expect(schedule["name"]?.stringValue == "auto-\(task)")
      let cost = try #require(share("auto-\(task)"))
      #expect(try cost <= auto && cost <= #require(share(task)), "\(task)")
      #expect(try #require(schedule["mean_kl"]?.doubleValue) <= 0.003, "\(task)")
      #expect(try #require(schedule["holdout_mean_kl"]?.doubleValue) <= 0.003, "\(task)")
    }
    #expect(try #require(share("auto-colors")) < auto)
    let answer = try Programs.run(
      "vtwrun",
      [folder.path("m.vtwm"), "--profile", "auto-colors", "-p", "hello", "-n", "2", "--stats"])
    #expect(answer.status == 0 && answer.errors.contains("frozen from layer"), "\(answer.errors)")
  }

  @Test func whatIsNoScheduleIsRefused() throws {
    let file = folder.path("m.vtwm")
    try #require(try convert("m.vtwm", ["--schedule", "1-12"]).status == 0)
    for (arguments, status, message) in [
      (["vtwrun", file, "-p", "a", "--schedule", "4-13"], 65, "is no schedule of its 12 layers"),
      (["vtwrun", file, "-p", "a", "--schedule", "1-2", "--k", "3"], 64, "exclude each other"),
      (["vtweval", file, Self.heldOut, "--schedule", "x"], 65, "is no schedule"),
      (["vtweval", file, Self.heldOut, "--profile", "x"], 65, "it has default, 1-12"),
      (["vtwbench", file, "--also", "x"], 65, "is no schedule"),
      (["vtwconvert", Self.demo, "-o", file + "2", "--schedule", "9-2"], 64, "--schedule must be"),
      (["vtwconvert", Self.demo, "-o", file + "2", "--schedule", "1-13"], 65, "needs more"),
      (
        ["vtwconvert", Self.demo, "-o", file + "2", "--schedule", "auto"], 64, "measures a --calib"
      ),
      (
        ["vtwconvert", Self.demo, "-o", file + "2", "--calib", Self.heldOut, "--exhaustive"], 64,
        "--exhaustive is for"
      ),
      (
        [
          "vtwconvert", Self.demo, "-o", file + "2", "--calib", Self.heldOut, "--schedule", "auto",
          "--flops", "0.5",
        ], 64, "needs --exhaustive"
      ),
      (
        [
          "vtwconvert", Self.demo, "--shard", "1/2", "--stats", file + "s", "--calib", Self.heldOut,
          "--schedule", "auto",
        ], 64, "or give --exhaustive to every --shard and to --merge."
      ),
      (
        ["vtwconvert", Self.demo, "-o", file + "2", "--merge", "a", "--schedule", "layers=0"], 64,
        "then vtwconvert FILE.vtwm --calib SET --schedule layers=0."
      ),
    ] as [([String], Int32, String)] {
      let done = try Programs.run(arguments[0], Array(arguments.dropFirst()))
      let text = done.errors.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      #expect(done.status == status && text.contains(message), "\(arguments): \(done.errors)")
    }
  }
}
