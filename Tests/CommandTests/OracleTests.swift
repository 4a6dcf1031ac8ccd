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

  @Test func thereAreFixtures() { #expect(Self.cases.count >= 12) }

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

  /// Tensors of the run without withdrawal have no prefix.
  private func belongs(_ tensor: String, to prefix: String) -> Bool {
    prefix.isEmpty ? !tensor.hasPrefix("k.") : tensor.hasPrefix(prefix)
  }
}
