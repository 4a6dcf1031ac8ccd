import Glibc
import TensorCore
import TestSupport
import Testing

/// The programs against Hugging Face transformers in f32: `tools/reference` made the fixtures.
@Suite struct OracleTests {
  // f32 sums in another order differ in the last bits; eight layers of them stay below this.
  static let hiddenTolerance: Float = 2e-4
  static let logitTolerance: Float = 1e-3

  static let cases: [String] = {
    let names = (try? folderEntries(at: fixturePath("expected"))) ?? []
    return names.filter { $0.hasSuffix(".safetensors") }.map { String($0.dropLast(12)) }
  }()

  @Test func thereAreFixtures() { #expect(Self.cases.count >= 20) }

  @Test(arguments: cases)
  func equalsTransformersAtEveryWithdrawalLayer(name: String) throws {
    let expected = try Fixture(at: fixturePath("expected/\(name).safetensors"))
    let model = try #require(expected.metadata["model"])
    let prompt = try #require(expected.metadata["prompt"])
    let images = try JSONValue(
      parsing: Array(try #require(expected.metadata["images"]).utf8), file: name)
    let layerCount = try #require(expected.metadata["layers"].flatMap { Int($0) })
    let folder = try TemporaryFolder()
    let file = folder.path("m.vtwm")
    let converted = try Programs.run(
      "vtwconvert", [repositoryPath(model), "-o", file, "--encoding", "f32", "--quiet"])
    try #require(converted.status == 0, "\(converted.errors)")

    var arguments = [file, "--raw", "-p", prompt, "-n", "64", "--ignore-eos", "--json"]
    for image in images.arrayValue ?? [] {
      let name = image.stringValue ?? ""
      arguments += [
        "--image", name.contains("/") ? repositoryPath(name) : fixturePath("images/\(name)"),
      ]
    }
    let trace = folder.path("trace.safetensors")
    for k in 0...layerCount {
      let prefix = k == layerCount ? "" : "k." + (k < 10 ? "0\(k)." : "\(k).")
      guard expected.tensors[prefix + "logits"] != nil else { continue }
      let run = try Programs.run("vtwrun", arguments + ["--k", String(k), "--trace", trace])
      try #require(run.status == 0, "\(run.errors)")
      let found = try Fixture(at: trace)
      for (tensor, want) in expected.tensors where belongs(tensor, to: prefix) {
        let short = String(tensor.dropFirst(prefix.count))
        if short == "generated" {
          let ids = try run.json["token_ids"]?.arrayValue?.compactMap(\.integerValue)
          #expect(ids == want.integers, "\(name), K = \(k)")
          continue
        }
        let have = try found[short]
        #expect(have.shape == want.shape, "\(name), K = \(k), \(short)")
        #expect(have.integers == want.integers, "\(name), K = \(k), \(short)")
        if short == "pixels" {
          #expect(have.floats == want.floats, "\(name): pixels are not bit-exact")
        } else if short == "logits" {
          let range = (want.floats.max() ?? 0) - (want.floats.min() ?? 0)
          expectClose(
            have.floats, want.floats, relative: 0, absolute: Self.logitTolerance * range,
            "\(name), K = \(k), logits")
        } else {
          expectClose(
            have.floats, want.floats, relative: Self.hiddenTolerance, "\(name), K = \(k), \(short)")
        }
      }
    }
  }

  /// Ten ratios of width and height: tiles bit for bit, rows in their order, answers with and without
  /// withdrawal.
  @Test(arguments: ["next-vicuna", "onevision"])
  func cutsPicturesOfAnyShapeAsTransformersDoes(name: String) throws {
    let expected = try Fixture(at: fixturePath("expected/shapes/\(name).safetensors"))
    let model = try #require(expected.metadata["model"])
    let prompt = try #require(expected.metadata["prompt"])
    let images = try JSONValue(
      parsing: Array(try #require(expected.metadata["images"]).utf8), file: name)
    let k = try #require(expected.metadata["k"])
    let folder = try TemporaryFolder()
    let file = folder.path("m.vtwm")
    let converted = try Programs.run(
      "vtwconvert", [repositoryPath(model), "-o", file, "--encoding", "f32", "--quiet"])
    try #require(converted.status == 0, "\(converted.errors)")
    let names = (images.arrayValue ?? []).compactMap(\.stringValue)
    #expect(names.count == 10)
    for image in names {
      for (prefix, option) in [("", ["--full"]), ("k.", ["--k", k])] {
        let trace = folder.path("trace.safetensors")
        let run = try Programs.run(
          "vtwrun",
          [file, "--raw", "-p", prompt, "-n", "16", "--ignore-eos", "--json", "--trace", trace]
            + ["--image", fixturePath("images/\(image)")] + option)
        try #require(run.status == 0, "\(run.errors)")
        let found = try Fixture(at: trace)
        let what: Comment = "\(name), \(image) \(prefix)"
        let ids = try run.json["token_ids"]?.arrayValue?.compactMap(\.integerValue)
        #expect(try ids == expected["\(image).\(prefix)generated"].integers, what)
        let logits = try expected["\(image).\(prefix)logits"].floats
        let range = (logits.max() ?? 0) - (logits.min() ?? 0)
        expectClose(
          try found["logits"].floats, logits, relative: 0,
          absolute: Self.logitTolerance * range, "\(what)")
        #expect(try found["input_ids"].integers == expected["\(image).input_ids"].integers, what)
        let pixels = try found["pixels"]
        let digest = Int(fnv1a(pixels.floats)) - 1 << 31
        #expect(
          try [pixels.shape[0], digest] == expected["\(image).pixels"].integers,
          "\(what): tiles")
        let projected = try expected["\(image).projected"]
        #expect(try found["projected"].shape == projected.shape, what)
        expectClose(
          try found["projected"].floats, projected.floats, relative: Self.hiddenTolerance,
          "\(what), projected")
        let rows = try run.json["rows"]?["visual"]?.integerValue
        #expect(rows == projected.shape[0], what)
      }
    }
  }

  /// 32-bit FNV-1a over the little-endian bytes of `values`.
  private func fnv1a(_ values: [Float]) -> UInt32 {
    var digest: UInt32 = 0x811C_9DC5
    for value in values {
      for shift in stride(from: 0, to: 32, by: 8) {
        digest = (digest ^ (value.bitPattern >> UInt32(shift) & 0xFF)) &* 0x0100_0193
      }
    }
    return digest
  }

  /// Tensors of the run without withdrawal have no prefix.
  private func belongs(_ tensor: String, to prefix: String) -> Bool {
    prefix.isEmpty ? !tensor.hasPrefix("k.") : tensor.hasPrefix(prefix)
  }
}
