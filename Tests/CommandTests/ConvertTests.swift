import TensorCore
import TestSupport
import Testing

/// vtwconvert from outside: its bytes, its calibration, and what it refuses.
@Suite struct ConvertTests {
  let folder: TemporaryFolder
  static let demo = repositoryPath("tools/demo-llava/model")
  static let calibration = repositoryPath("tools/demo-llava/calib")

  init() throws { folder = try TemporaryFolder() }

  private func convert(_ input: String, _ output: String, _ options: [String] = []) throws
    -> ProgramResult
  {
    try Programs.run("vtwconvert", [input, "-o", folder.path(output), "--quiet"] + options)
  }

  @Test(arguments: ["a", "b", "c", "d", "e", "f"])
  func everySpellingGivesTheSameModel(spelling: String) throws {
    let expected = try Fixture(at: fixturePath("expected/spellings.safetensors"))
    let source = fixturePath("spellings/\(spelling)")
    let tower = spelling == "e" ? ["--vision-tower", "\(source)/vision-tower"] : []
    let done = try convert(source, "m.vtwm", ["--encoding", "f32"] + tower)
    try #require(done.status == 0, "\(done.errors)")
    // Spelling E brings its original template and pad rule; a square image is the same under both.
    let run = try Programs.run(
      "vtwrun",
      [
        folder.path("m.vtwm"), "--raw", "-p", try #require(expected.metadata["prompt"]), "--image",
        fixturePath("images/square-96.jpg"), "-n", "1", "--trace", folder.path("t.safetensors"),
        "--k", "1",
      ])
    try #require(run.status == 0, "\(run.errors)")
    let found = try Fixture(at: folder.path("t.safetensors"))["logits"].floats
    let want = try expected["k.01.logits"].floats.prefix(found.count)
    let range = (want.max() ?? 0) - (want.min() ?? 0)
    expectClose(found, Array(want), relative: 0, absolute: 1e-3 * range, spelling)
  }

  @Test func aFileAndAnIndexAreTakenWithTheirSiblings() throws {
    let single = fixturePath("models/gqa")
    #expect(try convert("\(single)/model.safetensors", "a.vtwm").status == 0)
    #expect(try convert(single, "b.vtwm").status == 0)
    #expect(try bytes("a.vtwm") == bytes("b.vtwm"))
    let index = fixturePath("models/sharded/model.safetensors.index.json")
    #expect(try convert(index, "c.vtwm").status == 0)
  }

  @Test(arguments: ["f32", "q8", "bf16"])
  func threadsDoNotChangeTheFile(encoding: String) throws {
    let options = ["--encoding", encoding, "--calib", Self.calibration, "--calib-limit", "12"]
    for threads in ["1", "2"] {
      let done = try convert(
        Self.demo, "\(threads).vtwm", options + ["--threads", threads])
      try #require(done.status == 0, "\(done.errors)")
    }
    #expect(try bytes("1.vtwm") == bytes("2.vtwm"))
  }

  @Test func encodingsByRuleWithTheirErrors() throws {
    let done = try convert(
      Self.demo, "m.vtwm",
      [
        "--encoding", "q4", "--encoding-for", "text.layers.3.*=q8", "--calib", Self.calibration,
        "--calib-limit", "8", "--holdout", "0", "--importance", "--json",
      ])
    try #require(done.status == 0, "\(done.errors)")
    let errors = try #require(try done.json["errors"])
    #expect(try #require(errors["text.layers.2.query"]?.doubleValue) > 0.05)
    #expect(try #require(errors["text.layers.3.query"]?.doubleValue) < 0.01)
    let listed = try Programs.run("vtwinfo", [folder.path("m.vtwm"), "--tensors"]).output
    let lines = listed.split(separator: "\n").filter { $0.contains("text.layers.3.query") }
    #expect(lines.count == 1 && lines[0].contains("q8") && lines[0].contains("error 0."))
  }

  @Test func encodingRulesAreChecked() throws {
    let bad = try convert(Self.demo, "m.vtwm", ["--encoding-for", "text*"])
    #expect(bad.status == 64 && bad.errors.contains("must be PATTERN=TYPE"))
    let nothing = try convert(Self.demo, "m.vtwm", ["--encoding-for", "nothing*=q8"])
    #expect(nothing.status == 65 && nothing.errors.contains("matches no matrix"))
    let importance = try convert(Self.demo, "m.vtwm", ["--importance"])
    #expect(importance.status == 64 && importance.errors.contains("--calib"))
    #expect((try? bytes("m.vtwm")) == nil)
  }

  /// What packing cost, as `vtweval --against` tells: nothing between a file and itself.
  @Test func packingIsComparedWithItsSource() throws {
    for encoding in ["f32", "q4"] {
      let done = try convert(Self.demo, "\(encoding).vtwm", ["--encoding", encoding])
      try #require(done.status == 0, "\(done.errors)")
    }
    let set = repositoryPath("tools/demo-llava/heldout")
    func compare(_ file: String, _ reference: String, _ set: String) throws -> JSONValue {
      let done = try Programs.run(
        "vtweval",
        [
          folder.path(file), set, "--against", folder.path(reference), "--limit", "24", "--json",
          "--quiet",
        ])
      try #require(done.status == 0, "\(done.errors)")
      return try #require(try done.json["tasks"]?.arrayValue?.last)
    }
    let same = try compare("f32.vtwm", "f32.vtwm", set)
    #expect(same["max_kl"]?.doubleValue == 0 && same["agreement"]?.doubleValue == 1)
    let packed = try compare("q4.vtwm", "f32.vtwm", set)
    let mean = try #require(packed["mean_kl"]?.doubleValue)
    #expect(mean > 1e-6 && mean < 0.01)
    #expect(try #require(packed["agreement"]?.doubleValue) > 0.98)

    let text = try folder.write("one two\n\nthree four five\n", to: "lines.txt")
    let lines = try compare("q4.vtwm", "f32.vtwm", text)
    #expect(lines["samples"]?.integerValue == 2)
    let other = try convert(fixturePath("models/gqa"), "gqa.vtwm")
    try #require(other.status == 0)
    let mixed = try Programs.run(
      "vtweval", [folder.path("f32.vtwm"), set, "--against", folder.path("gqa.vtwm")])
    #expect(mixed.status == 65 && mixed.errors.contains("is not the same model"))
  }

  /// Every number of the sweep against brute force by transformers: `make_calibration.py`.
  @Test(arguments: ["demo", "mini", "next"])
  func calibrationEqualsTransformers(name: String) throws {
    let expected = try JSONValue(
      parsing: try fileBytes(
        at: fixturePath("expected/\(name)-calibration.json"), limit: 1 << 26), file: name)
    let model = repositoryPath(try #require(expected["model"]?.stringValue))
    let set = repositoryPath(try #require(expected["set"]?.stringValue))
    let options = [
      "--calib", set, "--holdout", "0", "--min-task", "1", "--encoding", "f32", "--json",
    ]
    let done = try convert(model, "m.vtwm", options)
    try #require(done.status == 0, "\(done.errors)")
    let found = try done.json
    #expect(found["k"] == expected["k"]?["default"])
    let tasks = try #require(expected["tasks"]?.arrayValue)
    #expect(found["tasks"]?.arrayValue?.count == tasks.count)
    for (have, want) in zip(found["tasks"]?.arrayValue ?? [], tasks) {
      let task = have["name"]?.stringValue ?? "?"
      #expect(have["name"] == want["name"])
      #expect(have["samples"] == want["samples"])
      #expect(have["positions"] == want["positions"])
      for (one, other) in zip(have["curve"]?.arrayValue ?? [], want["curve"]?.arrayValue ?? []) {
        #expect(one["k"] == other["k"])
        let k = one["k"] ?? .null
        try expectSame(one["mean_kl"], other["mean_kl"], "\(task), K = \(k), mean_kl")
        // One position each, where f32 sums in another order do not average out.
        for key in ["p95_kl", "max_kl"] {
          try expectSame(one[key], other[key], relative: 5e-4, "\(task), K = \(k), \(key)")
        }
        // The fixture keeps seven digits.
        let agreement = try #require(one["agreement"]?.doubleValue)
        let expected = try #require(other["agreement"]?.doubleValue)
        #expect(abs(agreement - expected) < 1e-6, "\(task), K = \(one["k"] ?? .null)")
      }
    }
    let first = expected["first_token_mean_kl"]?.arrayValue ?? []
    for (one, other) in zip(found["pooled"]?["curve"]?.arrayValue ?? [], first) {
      try expectSame(one["first_token_mean_kl"], other, "first token, K = \(one["k"] ?? .null)")
    }
    let paper = try convert(model, "p.vtwm", options + ["--preset", "paper"])
    #expect(try paper.json["k"] == expected["k"]?["paper"])
  }

  /// Where the image goes, in the demo and in two random models: `make_migration.py`.
  @Test(arguments: ["demo", "gqa", "mqa"])
  func migrationEqualsTransformers(name: String) throws {
    let expected = try JSONValue(
      parsing: try fileBytes(
        at: fixturePath("expected/\(name)-migration.json"), limit: 1 << 26), file: name)
    let model = repositoryPath(try #require(expected["model"]?.stringValue))
    let set = repositoryPath(try #require(expected["set"]?.stringValue))
    let done = try convert(
      model, "m.vtwm",
      ["--calib", set, "--holdout", "0", "--min-task", "1", "--encoding", "f32", "--json"])
    let found = try done.json
    let tasks = try #require(expected["tasks"]?.arrayValue)
    #expect(found["tasks"]?.arrayValue?.compactMap { $0["name"] } == tasks.map { $0["name"] })
    for (have, want) in zip(
      (found["tasks"]?.arrayValue ?? []) + [try #require(found["pooled"])],
      tasks + [try #require(expected["pooled"])])
    {
      for group in ["question", "answer"] {
        let rows = try #require(have["migration"]?[group])
        #expect(rows["rows"] == want[group]?["rows"])
        for name in ["system", "visual", "question", "answer", "change"] {
          let values = try #require(rows[name]?.arrayValue).compactMap(\.doubleValue)
          // The fixture keeps seven digits of f32 arithmetic.
          expectClose(
            values.map(Float.init),
            try #require(want[group]?[name]?.arrayValue).compactMap(\.doubleValue)
              .map(Float.init), relative: 0, absolute: 2e-6, "\(group), \(name)")
        }
      }
    }
    let page = try Programs.run("vtwinfo", [folder.path("m.vtwm"), "--calibration"])
    #expect(page.output.contains("where the image goes"), "\(page.output)")
  }

  /// What packing costs in two random models: `make_packing.py`.
  @Test(arguments: ["mha-tied", "one-layer"])
  func packingCostEqualsTransformers(name: String) throws {
    let expected = try JSONValue(
      parsing: try fileBytes(
        at: fixturePath("expected/\(name)-packing.json"), limit: 1 << 26), file: name)
    let model = repositoryPath(try #require(expected["model"]?.stringValue))
    let set = repositoryPath(try #require(expected["set"]?.stringValue))
    let done = try convert(
      model, "m.vtwm",
      [
        "--calib", set, "--holdout", "0", "--min-task", "1", "--encoding", "f16",
        "--encoding-for", "text.layers.0.query=f32", "--compare-source", "--json",
      ])
    let found = try done.json
    #expect(found["packing"] == ["encoding": "f16", "source": "F32"])
    let tasks = try #require(expected["tasks"]?.arrayValue)
    for (have, want) in zip(
      (found["tasks"]?.arrayValue ?? []) + [try #require(found["pooled"])],
      tasks + [try #require(expected["pooled"])])
    {
      let cost = try #require(have["packing"])
      #expect(cost["positions"] == want["positions"])
      #expect(cost["agreement"]?.doubleValue == want["agreement"]?.doubleValue)
      for key in ["mean_kl", "max_kl"] {
        let a = try #require(cost[key]?.doubleValue)
        let b = try #require(want[key]?.doubleValue)
        // The rounding of f32 sums is a hundredth of what f16 rounds.
        #expect(b > 1e-7 && abs(a - b) < 0.02 * b, "\(key): \(a), expected \(b)")
      }
    }
    let page = try Programs.run("vtwinfo", [folder.path("m.vtwm"), "--calibration"])
    #expect(page.output.contains("f16 instead of F32 costs"), "\(page.output)")
    #expect(page.output.contains("KL(f16 ‖ F32)"), "\(page.output)")
  }

  /// Nothing is lost, so nothing is found: a folder of f16, and GGUF files of f32.
  @Test(arguments: [(repositoryPath("tools/demo-llava/model"), "f16"), ("gguf/one-layer", "f32")])
  func weightsThatAreTheSourceCostNothing(model: String, encoding: String) throws {
    let path = model.contains("demo") ? model : fixturePath(model)
    let done = try convert(
      path, "m.vtwm",
      [
        "--calib", Self.calibration, "--calib-limit", "12", "--min-task", "1", "--encoding",
        encoding, "--encoding-for", "text.layers.0.query=f32", "--compare-source", "--json",
      ])
    let cost = try #require(try done.json["pooled"]?["packing"])
    let mean = try #require(cost["mean_kl"]?.doubleValue)
    #expect(mean < 1e-8 && cost["agreement"]?.doubleValue == 1, "\(mean)")
    let quantised = try convert(
      path, "q.vtwm",
      [
        "--calib", Self.calibration, "--calib-limit", "12", "--min-task", "1", "--encoding", "q4",
        "--compare-source", "--json",
      ])
    #expect(try #require(quantised.json["pooled"]?["packing"]?["mean_kl"]?.doubleValue) > 1e-6)
  }

  /// Streamed, shared out and merged: what `vtweval --against` says of two whole files.
  @Test func comparingWithTheSourceCanBeSharedOut() throws {
    // Shards do not weight the errors of q4.
    let set = [
      "--calib", Self.calibration, "--holdout", "0", "--encoding", "q4", "--no-importance",
    ]
    let compare = set + ["--compare-source"]
    let done = try convert(Self.demo, "whole.vtwm", compare + ["--json", "--max-memory", "16"])
    let record = try done.json
    for index in 1...2 {
      let shard = try Programs.run(
        "vtwconvert",
        [Self.demo, "--shard", "\(index)/2", "--stats", folder.path("s\(index)"), "--quiet"]
          + compare)
      try #require(shard.status == 0, "\(shard.errors)")
    }
    let shards = [folder.path("s2"), folder.path("s1")]
    let merged = try convert(
      Self.demo, "merged.vtwm", ["--encoding", "q4", "--merge"] + shards)
    try #require(merged.status == 0, "\(merged.errors)")
    #expect(try bytes("merged.vtwm") == bytes("whole.vtwm"))
    let again = try convert(
      folder.path("whole.vtwm"), "again.vtwm", ["--json", "--merge"] + shards)
    #expect(try again.json["explanation"] == record["explanation"])
    #expect(record["packing"] == ["encoding": "q4", "source": "F16"])
    let check = try Programs.run(
      "/usr/bin/env",
      ["python3", repositoryPath("tools/vtwm.py"), "calibration", folder.path("whole.vtwm")]
        + shards)
    #expect(check.status == 0 && check.output.contains("72 measured samples"), "\(check.errors)")

    let plain = try Programs.run(
      "vtwconvert",
      [Self.demo, "--shard", "2/2", "--stats", folder.path("plain"), "--quiet"] + set)
    try #require(plain.status == 0)
    try expectRefused(
      try convert(
        Self.demo, "m.vtwm",
        ["--encoding", "q4", "--quiet", "--merge", shards[1], folder.path("plain")]),
      "another use of --compare-source")
    try expectRefused(
      try Programs.run(
        "vtwconvert",
        [Self.demo, "--shard", "2/2", "--stats", folder.path("plain"), "--resume", "--quiet"]
          + compare),
      "another use of --compare-source", output: "plain.vtwm")

    #expect(try convert(Self.demo, "f32.vtwm", ["--encoding", "f32"]).status == 0)
    let whole = try Programs.run(
      "vtweval",
      [
        folder.path("whole.vtwm"), Self.calibration, "--against", folder.path("f32.vtwm"), "-n",
        "8", "--json",
      ])
    let tasks = (record["tasks"]?.arrayValue ?? []) + [record["pooled"] ?? .null]
    let others = try #require(try whole.json["tasks"]?.arrayValue)
    #expect(tasks.count == others.count && tasks.count == 7)
    for (task, other) in zip(tasks, others) {
      #expect(task["packing"]?["positions"] == other["positions"])
      try expectSame(
        task["packing"]?["mean_kl"], other["mean_kl"], relative: 1e-2, "\(other)")
    }
  }

  /// Below 1e-6 nats both are noise of f32 logits.
  private func expectSame(
    _ found: JSONValue?, _ expected: JSONValue?, relative: Double = 1e-4, _ what: String
  ) throws {
    let a = try #require(found?.doubleValue)
    let b = try #require(expected?.doubleValue)
    #expect(abs(a - b) <= max(relative * abs(b), 1e-6), "\(what): \(a), expected \(b)")
  }

  /// `relation` needs the image late: without that task an earlier layer will do.
  @Test func aSetWithoutTheLateTaskWithdrawsEarlier() throws {
    let tasks = ["colors", "position", "read-all", "read-row", "search"]
    let sets = tasks.flatMap { ["--calib", "\($0)=\(Self.calibration)/\($0)"] }
    let done = try convert(
      Self.demo, "m.vtwm", ["--encoding", "f32", "--holdout", "0", "--json"] + sets)
    try #require(done.status == 0, "\(done.errors)")
    #expect(try done.json["k"]?.integerValue == 7)
  }

  /// The first token of a number needs no image, at any K; the default criterion is not fooled.
  @Test func questionsForNumbersDoNotLeadToLayerZero() throws {
    let done = try convert(
      Self.demo, "m.vtwm",
      ["--encoding", "f32", "--holdout", "0", "--json", "--calib", "\(Self.calibration)/read-row"])
    try #require(done.status == 0, "\(done.errors)")
    let found = try done.json
    let first = found["pooled"]?["curve"]?.arrayValue?.first?["first_token_mean_kl"]?.doubleValue
    #expect(try #require(first) < 1e-3)
    #expect(try #require(found["k"]?.integerValue) >= 5)
    #expect(found["warnings"]?.arrayValue?.isEmpty == true)
  }

  /// The file's own words, and K once more from its curves by the independent reader.
  @Test(arguments: [
    (["--holdout", "0"], "relation decided"), ([], "held-out samples"),
    (["--flops", "0.9"], "rule 'budget'"), (["--quantile", "90"], "rule 'quantile'"),
    (["--preset", "paper", "--holdout", "0.3"], "rule 'paper'"),
    (["--flops", "0.1"], "no K is that cheap"),
  ])
  func theFileExplainsItsLayer(options: [String], says: String) throws {
    let done = try convert(
      Self.demo, "m.vtwm", ["--calib", Self.calibration, "--json"] + options)
    try #require(done.status == 0, "\(done.errors)")
    let found = try done.json
    let page = try Programs.run("vtwinfo", [folder.path("m.vtwm"), "--calibration"])
    #expect(page.status == 0 && page.output.contains(says), "\(page.output)")
    #expect(page.output.contains("vtwrun --eta") && page.output.contains("a budget buys"))
    let record = try #require(
      try Programs.run("vtwinfo", [folder.path("m.vtwm"), "--json"]).json["calibration"])
    for key in ["k", "k_calibrated", "criterion", "eta", "layer_costs", "explanation", "warnings"] {
      #expect(record[key] != nil && record[key] == found[key], "\(key)")
    }
    let check = try Programs.run(
      "/usr/bin/env",
      ["python3", repositoryPath("tools/vtwm.py"), "calibration", folder.path("m.vtwm")])
    #expect(check.status == 0, "\(check.output)\(check.errors)")
  }

  /// With this seed the samples that choose would take 9; those kept apart know better.
  @Test func heldOutSamplesMoveTheLayer() throws {
    let done = try Programs.run(
      "vtwconvert",
      [
        Self.demo, "-o", folder.path("m.vtwm"), "--calib", Self.calibration, "--seed", "5",
        "--encoding", "f32", "--json",
      ])
    try #require(done.status == 0, "\(done.errors)")
    let found = try done.json
    #expect(found["k_calibrated"]?.integerValue == 9 && found["k"]?.integerValue == 11)
    #expect(done.errors.contains("K moved from 9 to 11"), "\(done.errors)")
    let words = (found["explanation"]?.arrayValue ?? []).compactMap(\.stringValue)
    #expect(
      words.contains { $0.contains("moved up to K = 11; at K = 10, relation: mean KL is") },
      "\(words)")
  }

  /// What the sets lack stands in the record too, not only on the terminal.
  @Test func warningsOfTheSetsAreKept() throws {
    let done = try convert(
      Self.demo, "m.vtwm",
      ["--calib", Self.calibration, "--calib-limit", "20", "--holdout", "0.5", "--json"])
    try #require(done.status == 0, "\(done.errors)")
    let warnings = try #require(try done.json["warnings"]?.arrayValue).compactMap(\.stringValue)
    #expect(warnings.contains { $0.contains("fewer than 8 samples") }, "\(warnings)")
  }

  // MARK: Profiles and packed files

  /// Each task runs at what it alone would take; `default` at what all of them take.
  @Test func everyTaskBecomesAProfile() throws {
    let done = try convert(Self.demo, "m.vtwm", ["--calib", Self.calibration, "--json"])
    try #require(done.status == 0, "\(done.errors)")
    let found = try done.json
    var expected = ["default": found["k"]]
    for task in found["tasks"]?.arrayValue ?? [] {
      expected[try #require(task["name"]?.stringValue)] = task["k"]
    }
    let profiles = try #require(found["profiles"]?.arrayValue)
    #expect(profiles.count == 7 && profiles.first?["name"]?.stringValue == "default")
    for profile in profiles {
      let name = try #require(profile["name"]?.stringValue)
      #expect(profile["k"] == expected[name], "\(name)")
      let run = try Programs.run(
        "vtwrun",
        [
          folder.path("m.vtwm"), "--profile", name, "--json", "-n", "2", "-p", "What?", "--image",
          "\(Self.calibration)/colors/000.png",
        ])
      #expect(try run.json["k"] == profile["k"], "\(run.errors)")
    }
    #expect(expected["colors"] != expected["default"])
    let page = try Programs.run("vtwinfo", [folder.path("m.vtwm")])
    #expect(page.output.contains("relation: visual rows leave at layer K = 11"), "\(page.output)")
    #expect(page.output.contains("agreement 100.0 % in "), "\(page.output)")
  }

  /// Calibrating a packed file gives the model that calibrating its checkpoint gives.
  @Test func aPackedFileIsCalibratedLikeItsCheckpoint() throws {
    let options = ["--calib", Self.calibration, "--calib-limit", "48"]
    #expect(try convert(Self.demo, "plain.vtwm").status == 0)
    #expect(try convert(Self.demo, "direct.vtwm", options).status == 0)
    let done = try convert(folder.path("plain.vtwm"), "later.vtwm", options + ["--json"])
    try #require(done.status == 0, "\(done.errors)")
    #expect(try done.json["profiles"]?.arrayValue?.count == 7)
    let files = try ["plain", "direct", "later"].map { name in
      let info = try Programs.run(
        "vtwinfo", [folder.path("\(name).vtwm"), "--json", "--verify"])
      try #require(info.status == 0, "\(info.errors)")
      return try info.json
    }
    #expect(files[1]["content_id"] == files[2]["content_id"])
    #expect(files[1]["calibration"] == files[2]["calibration"])
    #expect(files[0]["content_id"] != files[2]["content_id"])
    #expect(files[0]["tensors"] == files[2]["tensors"])
    #expect(files[2]["provenance"]?["recalibrated"]?["content_id"] == files[0]["content_id"])
    #expect(files[2]["provenance"]?["inputs"] == files[0]["provenance"]?["inputs"])

    // A layer by hand keeps the evidence and says so.
    #expect(try convert(folder.path("later.vtwm"), "hand.vtwm", ["--k", "5"]).status == 0)
    let hand = try Programs.run("vtwinfo", [folder.path("hand.vtwm"), "--json"]).json
    #expect(hand["k"]?.integerValue == 5)
    #expect(hand["calibration"] == files[2]["calibration"])
    #expect(
      hand["profiles"]?.arrayValue?.dropFirst() == files[2]["profiles"]?.arrayValue?.dropFirst())
    let page = try Programs.run("vtwinfo", [folder.path("hand.vtwm"), "--calibration"])
    #expect(page.output.contains("K = 5, which was set by hand"), "\(page.output)")
  }

  @Test func refusesWhatAPackedFileCannotChange() throws {
    #expect(try convert(Self.demo, "in.vtwm").status == 0)
    let file = folder.path("in.vtwm")
    try expectRefused(try convert(file, "m.vtwm"), "--calib, --merge, --k or --schedule")
    try expectRefused(try convert(file, "m.vtwm", ["--k", "3", "--encoding", "f32"]), "--encoding")
    try expectRefused(
      try convert(file, "m.vtwm", ["--calib", Self.calibration, "--compare-source"]),
      "--compare-source needs the checkpoint")
    try expectRefused(try convert(file, "m.vtwm", ["--k", "13"]), "0...12")
    let own = try convert(file, "in.vtwm", ["--k", "3", "--force"])
    #expect(own.status == 65 && own.errors.contains("is also an input"), "\(own.errors)")
    var damaged = try fileBytes(at: file, limit: 1 << 28)
    damaged[damaged.count / 2] ^= 1
    try folder.write(damaged, to: "bad.vtwm")
    try expectRefused(
      try convert(folder.path("bad.vtwm"), "m.vtwm", ["--k", "3"]), "checksum is wrong")
    // A name that says .vtwm is taken at its word; another is looked into.
    try folder.write("no", to: "text.vtwm")
    try expectRefused(try convert(folder.path("text.vtwm"), "m.vtwm", ["--k", "3"]), "text.vtwm")
    try folder.write(try fileBytes(at: file, limit: 1 << 28), to: "renamed.bin")
    #expect(try convert(folder.path("renamed.bin"), "m.vtwm", ["--k", "3"]).status == 0)
  }

  // MARK: Parts of a calibration

  /// Measured at once, in shards, in small memory, or in parts after an interruption: the same file.
  @Test func anySplitOfTheWorkGivesTheSameFile() throws {
    let set = ["--calib", Self.calibration, "--calib-limit", "48"]
    #expect(try convert(Self.demo, "in.vtwm").status == 0)
    let file = folder.path("in.vtwm")
    try #require(try convert(file, "whole.vtwm", set + ["--stats", folder.path("w")]).status == 0)
    let whole = try bytes("whole.vtwm")
    // From the packed file and from its checkpoint.
    for (index, source) in [file, Self.demo, file].enumerated() {
      let shard = try Programs.run(
        "vtwconvert",
        [source, "--shard", "\(index + 1)/3", "--stats", folder.path("s\(index)"), "--quiet"] + set)
      try #require(shard.status == 0, "\(shard.errors)")
    }
    let shards = [2, 0, 1].map { folder.path("s\($0)") }
    for (name, options) in [
      ("merged", ["--merge"] + shards), ("again", ["--merge", folder.path("w")]),
      ("small", set + ["--max-memory", "16"]),
      ("resumed", set + ["--stats", folder.path("s1"), "--resume"]),
    ] {
      let done = try convert(file, "\(name).vtwm", options)
      if name == "resumed" {
        try expectRefused(done, "shard 2/3, not 1/1", output: "resumed.vtwm")
        continue
      }
      try #require(done.status == 0, "\(done.errors)")
      #expect(try bytes("\(name).vtwm") == whole, "\(name)")
    }
    #expect(try folderEntries(at: folder.path("")).allSatisfy { !$0.hasSuffix(".stats") })
    // The curves of the file once more from the statistics, by the independent reader.
    let check = try Programs.run(
      "/usr/bin/env",
      ["python3", repositoryPath("tools/vtwm.py"), "calibration", folder.path("whole.vtwm")]
        + shards)
    #expect(check.status == 0 && check.output.contains("48 measured samples"), "\(check.errors)")
    try expectRefused(
      try convert(file, "m.vtwm", ["--merge"] + shards.dropLast()), "32 of 48 samples")
    #expect(try convert(fixturePath("models/gqa"), "gqa.vtwm").status == 0)
    try expectRefused(
      try convert(folder.path("gqa.vtwm"), "m.vtwm", ["--merge"] + shards), "another model")
    try expectRefused(
      try convert(file, "m.vtwm", set + ["--max-memory", "16", "--calib-tokens", "1000"]),
      "--max-memory")
    try expectRefused(
      try convert(file, "m.vtwm", set + ["--stats", folder.path("w")]), "--resume")
    try expectRefused(
      try convert(file, "m.vtwm", set + ["--stats", file, "--force"]), "is also an input")
    let picture = try folder.write("mine", to: "a.png")
    try expectRefused(
      try convert(file, "m.vtwm", set + ["--stats", picture, "--force"]), "not a statistics file")
  }

  /// Sets in another order, and the questions of one in another order.
  @Test func orderOfTheSamplesChangesNoByte() throws {
    var lines = try String(
      decoding: fileBytes(
        at: "\(Self.calibration)/search/metadata.jsonl", limit: 1 << 20), as: UTF8.self
    ).split(separator: "\n")
    lines.reverse()
    lines.swapAt(2, 7)
    for name in try folderEntries(at: "\(Self.calibration)/search") where name.hasSuffix("g") {
      try folder.write(
        try fileBytes(at: "\(Self.calibration)/search/\(name)", limit: 1 << 24),
        to: "search/\(name)")
    }
    try folder.write(lines.joined(separator: "\n"), to: "search/metadata.jsonl")
    let colors = "colors=\(Self.calibration)/colors"
    let options = ["--holdout", "0", "--calib"]
    let one = try convert(
      Self.demo, "a.vtwm",
      options + [colors, "--calib", "search=\(Self.calibration)/search"])
    let other = try convert(
      Self.demo, "b.vtwm", options + ["search=\(folder.path("search"))", "--calib", colors])
    #expect(one.status == 0 && other.status == 0, "\(one.errors)\(other.errors)")
    #expect(try bytes("a.vtwm") == bytes("b.vtwm"))
  }

  /// SIGINT once the program listens to it, and again with --resume: nothing is lost or left.
  @Test func anInterruptedCalibrationGoesOn() throws {
    #expect(try convert(Self.demo, "in.vtwm").status == 0)
    let set = repositoryPath("tools/demo-llava/heldout-large")
    let script = """
      import signal, subprocess, sys
      signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the test's own threads block all
      program = subprocess.Popen(sys.argv[1:])
      while program.poll() is None:
          lines = open(f"/proc/{program.pid}/status").read().splitlines()
          caught = [line.split()[1] for line in lines if line.startswith("SigCgt:")]
          if caught and int(caught[0], 16) >> signal.SIGINT - 1 & 1:
              program.send_signal(signal.SIGINT)
              break
      sys.exit(program.wait())
      """
    let stopped = try Programs.run(
      "/usr/bin/env",
      [
        "python3", "-c", script, Programs.path("vtwconvert"), folder.path("in.vtwm"), "--calib",
        set, "-o", folder.path("m.vtwm"), "--threads", "1", "--quiet",
      ])
    #expect(stopped.status == 130 && stopped.errors.contains("--resume"), "\(stopped.errors)")
    #expect(try folderEntries(at: folder.path("")) == ["in.vtwm", "m.vtwm.stats"])
    for (options, says) in [
      ([], "--resume"), (["--resume", "--calib-limit", "100"], "another set"),
    ] {
      let refused = try convert(
        folder.path("in.vtwm"), "m.vtwm", ["--calib", set] + options)
      #expect(refused.status == 65 && refused.errors.contains(says), "\(refused.errors)")
    }
    let resumed = try convert(folder.path("in.vtwm"), "m.vtwm", ["--calib", set, "--resume"])
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(try folderEntries(at: folder.path("")) == ["in.vtwm", "m.vtwm"])
  }

  @Test func refusesMoreTasksThanARecordHolds() throws {
    let picture = try fileBytes(at: fixturePath("images/square-96.jpg"), limit: 1 << 20)
    for task in 0..<256 { try folder.write(picture, to: "set/\(task)/a.jpg") }
    try expectRefused(
      try convert(Self.demo, "m.vtwm", ["--calib", folder.path("set"), "--min-task", "1"]),
      "--min-task")
  }

  @Test func handsOnLayerIsTakenAsItIs() throws {
    let done = try convert(Self.demo, "m.vtwm", ["--k", "6", "--json"])
    try #require(done.status == 0, "\(done.errors)")
    #expect(try done.json["k"]?.integerValue == 6)
    let info = try Programs.run("vtwinfo", [folder.path("m.vtwm"), "--json", "--verify"])
    #expect(info.status == 0)
    let layers = try #require(try info.json["layers"]?.arrayValue)
    #expect(layers.map { $0["truncated"] } == (0..<12).map { .bool($0 >= 6) })
    #expect(try info.json["verified"] == true)
  }

  @Test func aBrokenImageIsLeftOutAndNamed() throws {
    try folder.write([0x89, 0x50, 0x4E, 0x47], to: "set/broken.png")
    try folder.link("set/good.png", to: "\(Self.calibration)/colors/000.png")
    let done = try Programs.run(
      "vtwconvert", [Self.demo, "-o", folder.path("m.vtwm"), "--calib", folder.path("set")])
    #expect(done.status == 0, "\(done.errors)")
    #expect(done.errors.contains("sample left out"))
    #expect(done.errors.contains("broken.png"))
  }

  // MARK: Bad input

  /// One line that contains `message`, exit 65, and no output file.
  private func expectRefused(
    _ result: ProgramResult, _ message: String, status: Int32 = 65, output: String = "m.vtwm",
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(result.signal == 0, sourceLocation: sourceLocation)
    #expect(result.status == status, "\(result.errors)", sourceLocation: sourceLocation)
    let lines = result.errors.split(separator: "\n")
    #expect(lines.count == 1, "\(result.errors)", sourceLocation: sourceLocation)
    #expect(
      result.errors.hasPrefix("error: ") && result.errors.contains(message), "\(result.errors)",
      sourceLocation: sourceLocation)
    let left = try folderEntries(at: folder.path).filter { $0.contains(output) }
    #expect(left.isEmpty, sourceLocation: sourceLocation)
  }

  @Test func refusesWhatIsNoCheckpoint() throws {
    try expectRefused(try convert(folder.path("nowhere"), "m.vtwm"), "nowhere")
    try folder.makeFolder("empty")
    try expectRefused(try convert(folder.path("empty"), "m.vtwm"), "empty")
    try folder.write(#"{"model_type": "whisper"}"#, to: "other/config.json")
    try folder.write([1], to: "other/model.safetensors")
    try expectRefused(try convert(folder.path("other"), "m.vtwm"), "other")
    let pickle = try folder.write([0x50, 0x4B, 3, 4, 0, 0, 0, 0, 0, 0], to: "x.bin")
    try expectRefused(try convert(pickle, "m.vtwm"), "x.bin")
  }

  @Test func namesAnUnsupportedArchitecture() throws {
    try copyDemo(to: "other") { name, bytes in
      name == "config.json"
        ? Array(
          String(decoding: bytes, as: UTF8.self).replacingAll("\"llava\"", with: "\"whisper\"").utf8
        )
        : bytes
    }
    try expectRefused(try convert(folder.path("other"), "m.vtwm"), "whisper")
  }

  @Test func refusesATruncatedFile() throws {
    try copyDemo(to: "cut") { name, bytes in
      name == "model.safetensors" ? Array(bytes.dropLast(1000)) : bytes
    }
    try expectRefused(try convert(folder.path("cut"), "m.vtwm"), "model.safetensors")
  }

  @Test func refusesAValueThatIsNotFinite() throws {
    try copyDemo(to: "nan") { name, bytes in
      guard name == "model.safetensors" else { return bytes }
      var bytes = bytes
      // f16 infinity in the middle of the data, which is a weight of some matrix.
      bytes[bytes.count / 2 & ~1] = 0x00
      bytes[bytes.count / 2 & ~1 | 1] = 0x7C
      return bytes
    }
    for encoding in ["f32", "q8", "bf16", "f16"] {
      try expectRefused(
        try convert(folder.path("nan"), "m.vtwm", ["--encoding", encoding]), "inf")
    }
  }

  @Test func refusesAMisshapenTensor() throws {
    try copyDemo(to: "wide") { name, bytes in
      name == "config.json"
        ? Array(
          String(decoding: bytes, as: UTF8.self)
            .replacingAll("\"intermediate_size\": 512", with: "\"intermediate_size\": 513").utf8)
        : bytes
    }
    try expectRefused(try convert(folder.path("wide"), "m.vtwm"), "513")
  }

  @Test func keepsAnExistingOutputUnlessForced() throws {
    #expect(try convert(Self.demo, "old.vtwm", ["--encoding", "f32"]).status == 0)
    let path = folder.path("old.vtwm")
    let old = try fileBytes(at: path, limit: 1 << 28)
    let refused = try convert(Self.demo, "old.vtwm")
    #expect(refused.status == 65 && refused.errors.contains("--force"), "\(refused.errors)")
    #expect(try fileBytes(at: path, limit: 1 << 28) == old)
    #expect(try convert(Self.demo, "old.vtwm", ["--force"]).status == 0)
    #expect(try fileBytes(at: path, limit: 1 << 28).count < old.count)
  }

  /// Forced or not: a checkpoint's tokenizer, for one, is no output.
  @Test func neverReplacesAFileOfAnotherKind() throws {
    let path = try folder.write("mine", to: "tokenizer.json")
    let refused = try convert(Self.demo, "tokenizer.json", ["--force"])
    #expect(refused.status == 65 && refused.errors.contains("not a .vtwm file"))
    #expect(try fileBytes(at: path, limit: 100) == Array("mine".utf8))
  }

  @Test func refusesAnEmptySetAndAWrongLayer() throws {
    try folder.makeFolder("set")
    try expectRefused(
      try convert(Self.demo, "m.vtwm", ["--calib", folder.path("set")]), "set")
    try folder.write("no image", to: "bad/a.png")
    try expectRefused(
      try Programs.run(
        "vtwconvert",
        [Self.demo, "-o", folder.path("m.vtwm"), "--quiet", "--calib", folder.path("bad")]),
      "no sample")
    try expectRefused(try convert(Self.demo, "m.vtwm", ["--k", "13"]), "0...12")
    try expectRefused(
      try Programs.run("vtwconvert", [Self.demo, "-o", folder.path("no/such/m.vtwm"), "--quiet"]),
      "no/such", status: 1)
  }

  /// A file-size limit stands for a full disk: the room is taken before the work begins.
  @Test func saysThatTheDiskIsFull() throws {
    let program = Programs.path("vtwconvert")
    let done = try Programs.run(
      "/bin/sh",
      [
        "-c", "ulimit -f 100; exec \"$0\" \"$1\" -o \"$2\" --quiet", program, Self.demo,
        folder.path("m.vtwm"),
      ])
    try expectRefused(done, "m.vtwm", status: 1)
  }

  @Test func usageErrorsExitWith64() throws {
    #expect(try Programs.run("vtwconvert", []).status == 64)
    for arguments in [["", "-o", folder.path("m.vtwm")], [Self.demo, "-o", ""]] {
      let nameless = try Programs.run("vtwconvert", arguments)
      #expect(nameless.status == 64 && nameless.errors.contains("a path is expected"))
    }
    #expect(try convert(Self.demo, "m.vtwm", ["--encoding", "q3"]).status == 64)
    for options in [
      ["--preset", "other"], ["--quantile", "0"], ["--flops", "1.5"], ["--agreement", "2"],
      ["--shard", "1/2"], ["--merge", "a", "--calib", "b"], ["--stats", "a"],
      ["--max-memory", "1"], ["--flops", "0.5", "--eta", "0.1"],
      ["--preset", "paper", "--quantile", "95"], ["--compare-source"],
    ] { #expect(try convert(Self.demo, "m.vtwm", options).status == 64, "\(options)") }
  }

  // MARK: Helpers

  private func bytes(_ name: String) throws -> [UInt8] {
    try fileBytes(at: folder.path(name), limit: 1 << 28)
  }

  /// A copy of the demo checkpoint, each file passed through `change`.
  private func copyDemo(to name: String, _ change: (String, [UInt8]) -> [UInt8]) throws {
    for file in try folderEntries(at: Self.demo) {
      let bytes = try fileBytes(at: "\(Self.demo)/\(file)", limit: 1 << 28)
      try folder.write(change(file, bytes), to: "\(name)/\(file)")
    }
  }
}

extension String {
  /// Every `old` replaced by `new`.
  func replacingAll(_ old: String, with new: String) -> String {
    var result = ""
    var rest = self[...]
    while let place = rest.firstRange(of: old) {
      result += rest[..<place.lowerBound] + new
      rest = rest[place.upperBound...]
    }
    return result + rest
  }
}
