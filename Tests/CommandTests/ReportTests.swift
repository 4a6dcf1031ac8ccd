import TensorCore
import TestSupport
import Testing

/// `vtwconvert --report` and `vtwinfo --report` from outside.
@Suite struct ReportTests {
  let folder: TemporaryFolder
  static let demo = repositoryPath("tools/demo-llava/model")
  static let calibration = repositoryPath("tools/demo-llava/calib")

  init() throws { folder = try TemporaryFolder() }

  private func convert(_ input: String, _ output: String, _ options: [String]) throws
    -> ProgramResult
  {
    try Programs.run("vtwconvert", [input, "-o", folder.path(output), "--quiet"] + options)
  }

  private func page(_ name: String) throws -> WellFormedPage {
    try WellFormedPage(
      String(decoding: fileBytes(at: folder.path(name), limit: 1 << 26), as: UTF8.self))
  }

  private let set = ["--calib", calibration, "--calib-limit", "36", "--min-task", "4"]

  @Test func thePageShowsTheCalibration() throws {
    let done = try convert(
      Self.demo, "m.vtwm",
      set + ["--stats", folder.path("s"), "--json", "--report", folder.path("r.html")])
    try #require(done.status == 0, "\(done.errors)")
    let found = try done.json
    #expect(found["report"]?.stringValue == folder.path("r.html"))
    let page = try page("r.html")
    let k = try #require(found["k"]?.integerValue)
    #expect(page.texts("b").first == "K = \(k)")
    let said = page.texts("li")
    for sentence in found["explanation"]?.arrayValue ?? [] {
      #expect(said.contains(sentence.stringValue ?? "?"), "\(sentence)")
    }
    let cells = page.texts("td")
    for task in found["tasks"]?.arrayValue ?? [] {
      let point = try #require(task["curve"]?.arrayValue?[k])
      let loss = fixed(try #require(point["mean_kl"]?.doubleValue), 5)
      #expect(cells.contains { $0.hasPrefix(loss) }, "\(task["name"] ?? .null)")
    }
    for row in found["eta"]?.arrayValue ?? [] {
      let bytes = byteText(try #require(row["kv_bytes"]?.integerValue))
      #expect(cells.contains(bytes), "\(row)")
    }
    let articles = page.texts("article")
    #expect(articles.count == 10)
    #expect(page.elements.filter { $0.name == "img" }.count == 10)
    #expect(page.texts("h2").contains("Where the image goes"))

    // The ten, once more from the statistics.
    let statistics = try JSONValue(
      parsing: fileBytes(at: folder.path("s"), limit: 1 << 26), file: "s")
    let measured = (statistics["measured"]?.arrayValue ?? []).compactMap {
      sample -> (id: String, loss: Double)? in
      guard let id = sample["id"]?.stringValue, let row = sample["kl"]?.arrayValue?[k].arrayValue
      else { return nil }
      return (id, row.compactMap(\.doubleValue).reduce(0, +) / Double(row.count))
    }
    let worst = measured.sorted { $0.loss > $1.loss }.prefix(10)
    for (article, sample) in zip(articles, worst) {
      #expect(article.contains(sample.id), "\(sample)")
      #expect(article.contains("Mean KL " + fixed(sample.loss * 0x1p-40, 5)), "\(sample)")
    }

    // The file by itself: the same numbers without the samples; twice the same bytes.
    for name in ["i.html", "j.html"] {
      let info = try Programs.run(
        "vtwinfo", [folder.path("m.vtwm"), "--report", folder.path(name)])
      #expect(info.status == 0 && info.output.isEmpty, "\(info.errors)")
    }
    let again = try fileBytes(at: folder.path("i.html"), limit: 1 << 26)
    #expect(try fileBytes(at: folder.path("j.html"), limit: 1 << 26) == again)
    let alone = try self.page("i.html")
    #expect(alone.texts("article").isEmpty && alone.texts("b").first == "K = \(k)")

    // From the statistics alone there are no pictures; a report may be written over.
    let merged = try convert(
      folder.path("m.vtwm"), "n.vtwm",
      ["--merge", folder.path("s"), "--report", folder.path("r.html")])
    try #require(merged.status == 0, "\(merged.errors)")
    let plain = try self.page("r.html")
    #expect(plain.texts("article").count == 10 && !plain.elements.contains { $0.name == "img" })
    #expect(plain.texts("p").contains { $0.contains("were not at hand") })
  }

  @Test func aPathThatCannotBeWrittenIsFoundFirst() throws {
    let mine = try folder.write("my notes", to: "notes.html")
    for (path, says, status) in [
      (folder.path("none/r.html"), "No such file", 1),
      (folder.path(""), "not a regular file", 65), (mine, "is no report of ours", 65),
      (folder.path("m.vtwm"), "another output", 65),
      (folder.path("m.vtwm.stats"), "another output", 65),
      ("\(Self.demo)/config.json", "is also an input", 65),
    ] as [(String, String, Int32)] {
      let done = try convert(Self.demo, "m.vtwm", set + ["--report", path])
      #expect(done.status == status && done.errors.contains(says), "\(path): \(done.errors)")
      #expect(PathKind(of: folder.path("m.vtwm")) == .missing, "\(path)")
    }
    #expect(try fileBytes(at: mine, limit: 100) == Array("my notes".utf8))
    for options in [[], set + ["--shard", "1/2", "--stats", folder.path("s")]] {
      let done = try Programs.run(
        "vtwconvert",
        [Self.demo, "--report", folder.path("r.html")]
          + (options.isEmpty ? ["-o", folder.path("m.vtwm")] : options))
      #expect(done.status == 64 && done.errors.contains("--report shows"), "\(done.errors)")
    }
  }

  /// Without calibration, as in every text-only model, there is nothing to show.
  @Test func filesWithoutCalibrationHaveNoReport() throws {
    let done = try convert(Self.demo, "m.vtwm", [])
    try #require(done.status == 0, "\(done.errors)")
    let info = try Programs.run(
      "vtwinfo", [folder.path("m.vtwm"), "--report", folder.path("r.html")])
    #expect(info.status == 65 && info.errors.contains("was not calibrated"), "\(info.errors)")
    #expect(PathKind(of: folder.path("r.html")) == .missing)
  }

  /// A set that tries to get its own markup into the page.
  @Test func questionsOfASetAreTexts() throws {
    let picture = try fileBytes(at: "\(Self.calibration)/colors/000.png", limit: 1 << 20)
    let question = "</dd><script>alert(1)</script><img src=x onerror=alert(2)>"
    var lines = ""
    for index in 0..<8 {
      try folder.write(picture, to: "set/\(index).png")
      lines +=
        #"{"file_name": "\#(index).png", "question": "\#(question)", "answer": "<b>&"}"# + "\n"
    }
    try folder.write(lines, to: "set/metadata.jsonl")
    let done = try convert(
      Self.demo, "m.vtwm",
      ["--calib", "<i>=\(folder.path("set"))", "--report", folder.path("r.html")])
    try #require(done.status == 0, "\(done.errors)")
    let page = try page("r.html")
    #expect(!page.elements.contains { ["script", "i"].contains($0.name) })
    #expect(page.texts("dd").filter { $0 == question }.count == 8)
    #expect(page.texts("dd").filter { $0 == "<b>&" }.count == 8)
    #expect(page.elements.filter { $0.name == "img" }.count == 8)
  }

  /// Progress and a curve on a terminal; in a pipe neither.
  @Test func aTerminalShowsProgressAndTheCurve() throws {
    let program = Programs.path("vtwconvert")
    let arguments = [Self.demo, "-o", folder.path("t.vtwm"), "--force"] + set
    let command = ([program] + arguments).map { "'\($0)'" }.joined(separator: ", ")
    let shown = try Programs.run(
      "/usr/bin/env", ["python3", "-c", "import pty; pty.spawn([\(command)])"])
    try #require(shown.status == 0, "\(shown.output)\(shown.errors)")
    #expect(shown.output.contains("of 36, layer "), "\(shown.output)")
    #expect(shown.output.contains("mean KL of the worst task over K"))
    #expect(shown.output.contains("●") && shown.output.contains("eta 0.01"))
    let plain = try Programs.run("vtwconvert", arguments)
    #expect(plain.status == 0 && !plain.errors.contains("●") && !plain.errors.contains("\u{1B}"))
    #expect(plain.errors.contains("misses the criterion"))
  }
}
