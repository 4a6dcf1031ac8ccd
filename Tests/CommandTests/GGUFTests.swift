import TensorCore
import TestSupport
import Testing

/// GGUF models through the programs: what a file computes is what its safetensors twin computes.
@Suite struct GGUFTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func convert(
    _ input: String, _ output: String, _ options: [String] = []
  ) throws -> ProgramResult {
    let options = ["-o", folder.path(output), "--encoding", "f32", "--json"] + options
    return try Programs.run("vtwconvert", [input] + options)
  }

  /// Ids and logits of a few greedy steps.
  private func trace(_ model: String, _ options: [String]) throws -> (String, [Float]) {
    let path = folder.path("\(model).safetensors")
    let done = try Programs.run(
      "vtwrun", [folder.path(model), "--raw", "-n", "4", "--full", "--trace", path] + options)
    try #require(done.status == 0, "\(done.errors)")
    return (done.output, try Fixture(at: path)["logits"].floats)
  }

  @Test(arguments: ["gqa", "one-layer", "next-vicuna"])
  func seesAsItsTwin(_ name: String) throws {
    for (source, output) in [("gguf", "a.vtwm"), ("models", "b.vtwm")] {
      let done = try convert(fixturePath("\(source)/\(name)"), output)
      try #require(done.status == 0, "\(done.errors)")
      #expect(done.errors.contains("mmproj") == (source == "gguf"))
      #expect(try done.json["types"]?.arrayValue?.isEmpty == false)
    }
    // The steps differ in padding, which a square does not need; tiles have no such rule.
    let image = name == "next-vicuna" ? "shape-90x60.png" : "square-96.jpg"
    let prompt = ["-p", "a <image>\nb", "--image", fixturePath("images/\(image)")]
    let found = try trace("a.vtwm", prompt)
    let expected = try trace("b.vtwm", prompt)
    #expect(found.0 == expected.0)
    #expect(found.1 == expected.1)
  }

  @Test(arguments: ["rope-llama3", "attention-bias", "byte-level"])
  func textModelsAnswerAsTheirTwins(_ name: String) throws {
    let done = try convert(fixturePath("gguf/\(name)/model.gguf"), "a.vtwm")
    try #require(done.status == 0, "\(done.errors)")
    #expect(try done.json["k"] == done.json["layers"])
    #expect(try convert(fixturePath("models/\(name)"), "b.vtwm").status == 0)
    let found = try trace("a.vtwm", ["-p", "What is it?"])
    let expected = try trace("b.vtwm", ["-p", "What is it?"])
    #expect(found.0 == expected.0)
    // Rotary divisors of the file are f32.
    expectClose(found.1, expected.1, relative: 1e-4, absolute: 1e-5)
  }

  /// Texts weight the errors of q4, and of nothing else; an even sum of all errors then grows.
  @Test func textsWeightTheErrorsOfTextModels() throws {
    let model = fixturePath("gguf/rope-llama3/model.gguf")
    let texts = try folder.write(Array("What is it?\n\nA cat, and a dog.\n".utf8), to: "t.txt")
    func error(_ output: String, _ options: [String]) throws -> Double {
      let done = try convert(model, output, options)
      try #require(done.status == 0, "\(done.errors)")
      let errors = try #require(try done.json["errors"])
      return ["query", "gate", "down"].reduce(0) {
        $0 + (errors["text.layers.1.\($1)"]?.doubleValue ?? .nan)
      }
    }
    let plain = try error("p.vtwm", ["--encoding", "q4"])
    let weighted = try error("w.vtwm", ["--encoding", "q4", "--calib", texts])
    #expect(weighted > plain)
    let without = ["--encoding", "q4", "--calib", texts, "--no-importance"]
    #expect(try error("n.vtwm", without) == plain)
    #expect(try error("a.vtwm", ["--encoding", "q8", "--calib", texts, "--importance"]) > 0)
    let info = try Programs.run("vtwinfo", [folder.path("w.vtwm"), "--json"])
    #expect(try info.json["provenance"]?["options"]?["importance"] == true)
  }

  @Test func textModelsHaveNoVision() throws {
    try #require(try convert(fixturePath("gguf/rope-llama3/model.gguf"), "m.vtwm").status == 0)
    let info = try Programs.run("vtwinfo", [folder.path("m.vtwm"), "--json", "--verify"])
    #expect(try info.json["verified"] == true)
    let tensors = try Programs.run("vtwinfo", [folder.path("m.vtwm"), "--tensors"])
    #expect(tensors.output.contains("text.layers.0") && !tensors.output.contains("vision"))
    #expect(tensors.output.contains("  f32 from BF16  "))
    let image = try Programs.run(
      "vtwrun", [folder.path("m.vtwm"), "-p", "?", "--image", fixturePath("images/square-96.jpg")])
    #expect(image.status != 0 && image.signal == 0)
    #expect(image.errors.split(separator: "\n").count == 1, "\(image.errors)")
    for option in [["--calib", fixturePath("images")], ["--k", "2"]] {
      let done = try convert(fixturePath("gguf/rope-llama3/model.gguf"), "c.vtwm", option)
      #expect(done.status == 65 && done.errors.contains("text-only"), "\(option)")
    }
  }

  @Test func leavesTheProjectorOutIfAsked() throws {
    let path = fixturePath("gguf/gqa/gqa.gguf")
    let done = try convert(path, "m.vtwm", ["--mmproj", "none"])
    try #require(done.status == 0, "\(done.errors)")
    #expect(done.errors.contains("no vision"))
    let wrong = try convert(path, "n.vtwm", ["--mmproj", fixturePath("gguf/nowhere.gguf")])
    #expect(wrong.status == 65 && wrong.errors.contains("nowhere.gguf"))
  }

  /// One line, exit 65 and no file, wherever the model is cut off.
  @Test func refusesACutFile() throws {
    let whole = try fileBytes(at: fixturePath("gguf/byte-level/model.gguf"), limit: 1 << 20)
    for count in [3, 100, whole.count / 3, whole.count - 64] {
      let path = try folder.write(Array(whole[..<count]), to: "cut.gguf")
      let done = try convert(path, "cut.vtwm")
      #expect(done.status == 65 && done.signal == 0)
      #expect(done.errors.hasPrefix("error: \(path): "), "\(done.errors)")
      #expect(done.errors.split(separator: "\n").count == 1, "\(done.errors)")
      #expect(PathKind(of: folder.path("cut.vtwm")) == .missing)
    }
  }
}
