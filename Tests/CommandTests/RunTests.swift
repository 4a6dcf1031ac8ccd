import Glibc
import TensorCore
import TestSupport
import Testing

/// vtwrun, vtwinfo, vtwbench and vtweval from outside, on the demo model.
@Suite struct RunTests {
  let folder: TemporaryFolder
  let file: String
  static let image = repositoryPath("tools/demo-llava/heldout/colors/000.png")
  static let question = "What color is the top left cell?"

  init() throws {
    folder = try TemporaryFolder()
    file = folder.path("demo.vtwm")
    let done = try Programs.run(
      "vtwconvert",
      [
        repositoryPath("tools/demo-llava/model"), "-o", file, "--quiet", "--calib",
        repositoryPath("tools/demo-llava/calib"),
      ])
    try #require(done.status == 0, "\(done.errors)")
  }

  private func run(_ arguments: [String], input: String = "") throws -> ProgramResult {
    try Programs.run("vtwrun", [file] + arguments, input: input)
  }

  private func ask(_ options: [String] = []) throws -> ProgramResult {
    try run(["--image", Self.image, "-p", Self.question, "--json"] + options)
  }

  @Test func fullAndLastLayerAreTheSameBitForBit() throws {
    let one = folder.path("1.safetensors")
    let two = folder.path("2.safetensors")
    let full = try ask(["--full", "--trace", one])
    let last = try ask(["--k", "12", "--trace", two])
    #expect(try full.json["token_ids"] == last.json["token_ids"])
    #expect(try Fixture(at: one).tensors == Fixture(at: two).tensors)
  }

  @Test func withoutAnImageNothingIsWithdrawn() throws {
    let one = folder.path("1.safetensors")
    let two = folder.path("2.safetensors")
    for (path, k) in [(one, "0"), (two, "12")] {
      let done = try run(["-p", "Read the top row.", "--k", k, "--trace", path, "--json"])
      try #require(done.status == 0, "\(done.errors)")
      #expect(try done.json["rows"]?["visual"] == 0)
    }
    #expect(try Fixture(at: one).tensors == Fixture(at: two).tensors)
  }

  @Test(arguments: ["1", "2", "8"])
  func threadsDoNotChangeTheAnswer(count: String) throws {
    let path = folder.path("\(count).safetensors")
    let reference = folder.path("reference.safetensors")
    let one = try ask(["--threads", "1", "--trace", reference])
    let many = try ask(["--threads", count, "--trace", path])
    try #require(one.status == 0 && many.status == 0, "\(many.errors)")
    #expect(try one.json["token_ids"] == many.json["token_ids"])
    #expect(try Fixture(at: reference).tensors == Fixture(at: path).tensors)
  }

  @Test func jsonHasTheDocumentedNames() throws {
    let done = try ask()
    let found = try done.json
    #expect(found["rows"]?["visual"] == 81)
    #expect(found["k"]?.integerValue == (try info()["k"]?.integerValue))
    for stage in ["load", "image", "vision", "prefill", "first_token", "decode"] {
      #expect(try #require(found["seconds"]?[stage]?.doubleValue) >= 0)
    }
    for key in ["prefill", "decode"] { #expect(found["tokens_per_second"]?[key] != nil) }
    for key in ["visual", "text"] { #expect(found["kv_bytes"]?[key] != nil) }
    #expect(try #require(found["peak_bytes"]?.integerValue) > 1 << 20)
    #expect(done.output.hasPrefix(try #require(found["text"]?.stringValue)))
  }

  /// The cache of the demo, 48 dimensions a head, in each precision.
  @Test func keysAndValuesAreHeldAsAsked() throws {
    let asTheFileSays = try ask()
    func bytes(_ done: ProgramResult) throws -> Int {
      try #require(done.status == 0, "\(done.errors)")
      let held = try #require(try done.json["kv_bytes"]?.objectValue)
      return try ["visual", "text"].reduce(0) { try $0 + #require(held[$1]?.integerValue) }
    }
    let f16 = try ask(["--kv", "f16"])
    #expect(try asTheFileSays.json["kv"] == "f16" && f16.json["kv"] == "f16")
    #expect(try f16.json["kv_bytes"] == asTheFileSays.json["kv_bytes"])
    #expect(try ask(["--kv", "auto"]).json["kv_bytes"] == asTheFileSays.json["kv_bytes"])
    let f32 = try ask(["--kv", "f32"]), q8 = try ask(["--kv", "q8"])
    #expect(try f32.json["kv"] == "f32" && bytes(f32) == 2 * bytes(f16))
    // 48 integers and a scale for the first 32 and one for the rest, instead of 48 times two bytes.
    #expect(try q8.json["kv"] == "q8" && 96 * bytes(q8) == 52 * bytes(f16))
    #expect(try q8.json["text"] == f16.json["text"])
    #expect(try ask(["--kv", "q4"]).status == 64)
    for program in ["vtwbench", "vtweval"] {
      #expect(try Programs.run(program, ["--help"]).output.contains("--kv"))
    }
  }

  private func info() throws -> JSONValue { try Programs.run("vtwinfo", [file, "--json"]).json }

  @Test func traceNeverReplacesAnInput() throws {
    let before = try fileBytes(at: file, limit: 1 << 28)
    let done = try run(["-p", "Hi", "--trace", file])
    #expect(done.status == 65 && done.errors.contains("is also an input"), "\(done.errors)")
    #expect(done.output.isEmpty)
    #expect(try fileBytes(at: file, limit: 1 << 28) == before)
  }

  /// A limit on file sizes stands in for a full disk.
  @Test func traceThatCannotBeFinishedLeavesTheOldFile() throws {
    try folder.write("old", to: "traces/t.safetensors")
    let done = try Programs.run(
      "/bin/sh",
      [
        "-c", "ulimit -f 8; exec \"$@\"", "sh", Programs.path("vtwrun"), file, "-p", "Hi",
        "--trace", folder.path("traces/t.safetensors"),
      ])
    #expect(done.status == 1 && done.errors.contains("File too large"), "\(done.errors)")
    #expect(try folderEntries(at: folder.path("traces")) == ["t.safetensors"])
    #expect(
      try fileBytes(at: folder.path("traces/t.safetensors"), limit: 100) == Array("old".utf8))
  }

  @Test func traceIntoAMissingFolderFailsBeforeTheAnswer() throws {
    let done = try run(["-p", "Hi", "--trace", folder.path("none/t.safetensors")])
    #expect(done.status == 1 && done.output.isEmpty, "\(done.output)")
  }

  @Test func benchWithoutImagesHasNoVisionRatio() throws {
    let done = try bench(["--images", "0", "--runs", "1"])
    #expect(done.status == 0 && done.output.contains("–") && !done.output.contains("nan"))
  }

  @Test(arguments: ["--images", "--text-rows"])
  func benchRefusesAPromptBeyondTheContextAtOnce(option: String) throws {
    let done = try Programs.run("vtwbench", [file, option, String(Int.max)])
    #expect(done.status == 65 && done.errors.contains("context"), "\(done.errors)")
  }

  @Test(arguments: ["nan", "inf", "0"])
  func refusesAThresholdThatIsNoNumber(eta: String) throws {
    #expect(try ask(["--eta", eta]).status == 64)
  }

  @Test func refusesAStandardInputThatCannotBeRead() throws {
    // A folder can be opened and not read.
    let done = try Programs.run("vtwrun", [file], inputPath: "/")
    #expect(done.status == 65 && done.errors.contains("standard input"), "\(done.errors)")
  }

  @Test func readsThePromptFromAPipe() throws {
    let piped = try run(["--image", Self.image], input: Self.question + "\n")
    let given = try run(["--image", Self.image, "-p", Self.question])
    #expect(piped.status == 0 && piped.output == given.output, "\(piped.errors)")
  }

  @Test func severalImagesAndAStopText() throws {
    let done = try run(["--image", Self.image, "--image", Self.image, "-p", "And?", "--json"])
    try #require(done.status == 0, "\(done.errors)")
    #expect(try done.json["rows"]?["visual"] == 162)
    let whole = try ask(["-n", "4"])
    let text = try #require(try whole.json["text"]?.stringValue)
    let stopped = try ask(["--stop", String(text.suffix(1))])
    #expect(try stopped.json["text"]?.stringValue?.contains(text.suffix(1)) == false)
  }

  @Test func samplingFollowsTheSeed() throws {
    let options = ["--temp", "3", "--top-k", "0", "--top-p", "1", "-n", "12", "--ignore-eos"]
    let one = try ask(options + ["--seed", "1"])
    #expect(try one.json["token_ids"] == ask(options + ["--seed", "1"]).json["token_ids"])
    #expect(try one.json["token_ids"] != ask(options + ["--seed", "2"]).json["token_ids"])
  }

  @Test func thresholdsChooseTheirLayer() throws {
    let strict = try ask(["--eta", "0.000001"])
    #expect(try strict.json["k"] == 12)
    let loose = try ask(["--eta", "0.1"])
    #expect(try #require(try loose.json["k"]?.integerValue) < 12)
  }

  @Test func badInputIsOneLine() throws {
    let broken = try folder.write("not an image", to: "a.jpg")
    let long = String(repeating: "digit ", count: 2000)
    let cases: [([String], String)] = [
      (["--image", folder.path("none.png"), "-p", "x"], "none.png"),
      (["--image", broken, "-p", "x"], "a.jpg"),
      (["--image", Self.image, "-p", long], "1024"),
      (["-p", "x", "--k", "13"], "0...12"),
      (["-p", "x", "--profile", "nope"], "nope"),
      (["-p", "", "--raw", "--image", Self.image], "<image>"),
      (["-p", "x", "--isa", "mmx"], "mmx"),
      (["-p", "x", "--expect-id", "00"], "content id"),
    ]
    for (arguments, message) in cases {
      let done = try run(arguments)
      #expect(done.status == 65 && done.signal == 0, "\(arguments.prefix(4)): \(done.errors)")
      #expect(done.errors.contains(message), "\(done.errors)")
      #expect(done.errors.split(separator: "\n").count == 1, "\(done.errors)")
    }
    let other = try Programs.run("vtwrun", [broken, "-p", "x"])
    #expect(other.status == 65 && other.errors.contains("a.jpg"))
    #expect(try run(["-p", "x", "--full", "--k", "3"]).status == 64)
    #expect(try run(["-p", "x", "--temp", "-1"]).status == 64)
  }

  /// The system tells by a signal that a mapped page is gone.
  @Test(.timeLimit(.minutes(1))) func aFileCutOffMeanwhileIsOneLine() throws {
    let path = try folder.write(fileBytes(at: file, limit: 1 << 28), to: "cut.vtwm")
    let pipe = try folder.makeFIFO("prompt")
    let script = """
      "$0" "$1" < "$2" & exec 3> "$2"
      until grep -qF "$1" /proc/$!/maps; do sleep 0.01; done
      truncate -s 4096 "$1"; echo Hi >&3; exec 3>&-; wait $!
      """
    let done = try Programs.run("/bin/sh", ["-c", script, Programs.path("vtwrun"), path, pipe])
    #expect(done.status == 65 && done.output.isEmpty, "\(done.status)")
    #expect(
      done.errors
        == "error: a file was cut off, or its disk failed, while the program was reading it\n")
  }

  @Test func everyPageOfInfoPrints() throws {
    for page in [[], ["--plan"], ["--tensors"], ["--calibration"], ["--verify"]] {
      let done = try Programs.run("vtwinfo", [file] + page)
      #expect(done.status == 0 && !done.output.isEmpty, "\(done.errors)")
    }
    #expect(try info()["calibration"]?["tasks"]?.arrayValue?.count == 6)
  }

  private func bench(_ options: [String], input: String = "") throws -> ProgramResult {
    try Programs.run(
      "vtwbench", [file, "--k", "4", "--decode", "2", "--warmup", "0"] + options, input: input)
  }

  /// Every name that `vtwbench --json` promises, with numbers that fit each other.
  @Test func benchComparesBothSides() throws {
    let done = try bench(["--runs", "2", "--json", "--threads", "1"])
    try #require(done.status == 0, "\(done.errors)")
    let result = try done.json
    #expect(result["k"]?.integerValue == 4 && result["layers"]?.integerValue == 12)
    #expect(result["runs"]?.integerValue == 2 && result["threads"]?.integerValue == 1)
    #expect(result["kv"]?.stringValue == "f16")
    #expect(result["isa"]?.stringValue != nil && result["encoding"]?.stringValue == "q8")
    #expect(result["rows"] == ["text": .integer(64), "visual": .integer(81)])
    func number(_ path: String...) throws -> Double {
      let value = path.reduce(result as JSONValue?) { $0?[$1] }
      return try #require(value?.doubleValue, "\(path.joined(separator: "."))")
    }
    for side in ["full", "withdrawn"] {
      for name in ["vision", "prefill", "first_token", "decode", "prefill_gops", "decode_gbs"] {
        #expect(try number(side, name) > 0)
        #expect(try number(side, name + "_spread") >= 0)
      }
      for name in ["prefill", "decode"] {
        #expect(try number(side, "tokens_per_second", name) > 0)
      }
      #expect(try number(side, "decode_share") > 0)
      #expect(try number(side, "first_token") >= number(side, "prefill"))
    }
    for name in ["prefill", "first_token", "decode"] {
      #expect(try number("ratio", name) > 0)
      #expect(try number("ratio", name + "_spread") >= 0)
    }
    #expect(try number("ceiling", "stream_gbs") > 0)
    #expect(try number("share", "gemv") > 0)
    // Null where a processor has no such instruction, but there.
    for name in ["int8_gops", "bf16_gflops", "f32_gflops"] {
      let value = try #require(result["ceiling"]?.objectValue?[name])
      #expect(value == .null || value.doubleValue.map { $0 > 0 } == true)
    }
    if result["ceiling"]?["int8_gops"] != nil {
      #expect(result["share"]?["unit"]?.stringValue == "int8")
      for name in ["gemm_m640", "gemm_m64", "vision"] { #expect(try number("share", name) > 0) }
      #expect(try number("full", "prefill_share") > 0)
    }
  }

  @Test func benchSweepsAndDraws() throws {
    let chart = folder.path("chart.svg")
    let done = try bench(["--runs", "1", "--sweep", "--step", "5", "--svg", chart, "--json"])
    try #require(done.status == 0, "\(done.errors)")
    let points = try #require(try done.json["sweep"]?.arrayValue)
    #expect(points.compactMap { $0["k"]?.integerValue } == [0, 5, 10, 12])
    #expect(points.last?["flops_ratio"]?.doubleValue == 1)
    for point in points {
      for name in ["vision", "prefill", "first_token", "decode", "flops_ratio", "kv_ratio"] {
        #expect(try #require(point[name]?.doubleValue) > 0)
      }
    }
    let text = String(decoding: try fileBytes(at: chart, limit: 1 << 20), as: UTF8.self)
    #expect(text.hasPrefix("<svg") && text.hasSuffix("</svg>\n"))
    for label in ["withdrawal layer K", "seconds", "ms per token", "prefers-color-scheme: dark"] {
      #expect(text.contains(label))
    }
    #expect(try bench(["--svg", chart]).status == 64)
    #expect(try bench(["--sweep", "--svg", folder.path("none/chart.svg")]).status == 1)
  }

  @Test func benchTakesTurns() throws {
    let done = try bench(["--paced"], input: "go\ngo\n")
    try #require(done.status == 0, "\(done.errors)")
    let lines = done.output.split(separator: "\n")
    #expect(lines.count == 2)
    for line in lines {
      let round = try JSONValue(parsing: Array(line.utf8), file: "standard output")
      for side in ["full", "withdrawn"] {
        for stage in ["vision", "prefill", "first_token", "decode"] {
          #expect(try #require(round[side]?[stage]?.doubleValue) > 0)
        }
      }
    }
  }

  /// A program that waits for its user leaves the processors to others.
  @Test func threadsSleepBetweenRounds() throws {
    let program = try RunningProgram(
      "vtwbench", [file, "--paced", "--threads", "5", "--decode", "1"])
    for _ in 0..<2 {
      program.write("go")
      #expect(program.readLine()?.contains("first_token") == true)
      var states: [String] = []
      for _ in 0..<10_000 {
        states = try program.threads("State")
        if states.allSatisfy({ $0.hasPrefix("S") }) { break }
        usleep(1000)
      }
      #expect(states.count == 5 && states.allSatisfy { $0.hasPrefix("S") }, "\(states)")
    }
  }

  @Test func pinnedThreadsKeepToACoreEach() throws {
    func allowed(_ options: [String]) throws -> [String] {
      let program = try RunningProgram(
        "vtwbench", [file, "--paced", "--decode", "1"] + options)
      program.write("go")
      #expect(program.readLine() != nil)
      return try program.threads("Cpus_allowed_list")
    }
    // As many threads as cores.
    let free = try allowed([]), pinned = try allowed(["--pin"])
    #expect(Set(free).count == 1 && free.count == pinned.count)
    #expect(pinned.allSatisfy { Int($0) != nil } && Set(pinned).count == pinned.count, "\(pinned)")
  }

  /// The demo's promise: at the chosen layer held-out answers are the full model's, task by task,
  /// and three layers earlier the task that needs the image late suffers.
  @Test func heldOutAnswersStayTheFullModels() throws {
    let k = try #require(try info()["k"]?.integerValue)
    let done = try Programs.run(
      "vtweval",
      [
        file, repositoryPath("tools/demo-llava/heldout-large"), "--json", "--quiet", "--k",
        String(k), "--k", String(k - 3),
      ])
    try #require(done.status == 0, "\(done.errors)")
    let profiles = try #require(try done.json["profiles"]?.arrayValue)
    func agreement(_ profile: Int) -> [String: Double] {
      var result: [String: Double] = [:]
      for task in profiles[profile]["tasks"]?.arrayValue ?? [] {
        result[task["name"]?.stringValue ?? ""] = task["agreement"]?.doubleValue
      }
      return result
    }
    let chosen = agreement(0)
    #expect(chosen.count == 7)
    for (task, share) in chosen {
      #expect(share >= (task == "all" ? 0.98 : 0.95), "\(task): \(share)")
    }
    let worst = try #require(chosen.values.min())
    let earlier = try #require(agreement(1).values.min())
    #expect(earlier < worst, "\(earlier) against \(worst)")
  }
}
