import TensorCore
import TestSupport
import Testing

/// Real weights against llama.cpp: `tools/reference/make_llama_cpp.py` made the fixture.
@Suite(.enabled(if: SmolLM2.isThere, SmolLM2.isMissing)) struct SmolLM2Tests {
  // Thirty layers of f32 sums in another order.
  private static let logitTolerance: Float = 1e-5
  // llama.cpp rounds what it multiplies with quantised weights to 8 bits.
  private static let roundedTolerance: Float = 0.04

  /// Without an encoding the blocks are taken over as they are.
  @Test func keepsTheBlocksOfItsSource() throws {
    let folder = try TemporaryFolder()
    let model = folder.path("m.vtwm")
    let done = try Programs.run("vtwconvert", [SmolLM2.path, "-o", model, "--json"])
    try #require(done.status == 0, "\(done.errors)")
    #expect(done.errors.contains("stored Q4_1 as q4a (210 tensors), Q8_0 as q8 (1), F32 as f32 ("))
    let errors = try #require(try done.json["errors"]?.objectValue)
    #expect(errors.members.count == 211 && errors.members.allSatisfy { $0.value.doubleValue == 0 })
    guard case .file(let size) = PathKind(of: model),
      case .file(let source) = PathKind(of: SmolLM2.path)
    else { throw InputError(model, "is missing") }
    #expect(size < source)

    let expected = try Fixture(at: fixturePath("gguf/smollm2/expected.safetensors"))
    let prompts = try JSONValue(
      parsing: Array(try #require(expected.metadata["prompts"]).utf8), file: "prompts")
    for (index, prompt) in (prompts.arrayValue ?? []).enumerated() {
      let text = try #require(prompt.stringValue)
      let trace = folder.path("t.safetensors")
      let run = try Programs.run(
        "vtwrun",
        [model, "--raw", "-p", text, "-n", "1", "--kv", "f32", "--trace", trace])
      try #require(run.status == 0, "\(run.errors)")
      let logits = try Fixture(at: trace)["logits"].floats
      expectNear(
        logits, try expected["\(index).logits"].floats, Self.roundedTolerance, "\(text): kept")
    }
  }

  /// Compares with every so many logits, within a share of their range.
  private func expectNear(
    _ logits: [Float], _ want: [Float], _ tolerance: Float, _ label: String
  ) {
    let step = logits.count / want.count
    let have = stride(from: 0, to: logits.count, by: step).map { logits[$0] }
    let range = (want.max() ?? 0) - (want.min() ?? 0)
    expectClose(have, want, relative: 0, absolute: tolerance * range, label)
  }

  @Test func answersAsLlamaCpp() throws {
    let folder = try TemporaryFolder()
    let model = folder.path("m.vtwm")
    let done = try Programs.run(
      "vtwconvert", [SmolLM2.path, "-o", model, "--encoding", "f32", "--json", "--quiet"])
    try #require(done.status == 0, "\(done.errors)")
    #expect(try done.json["k"] == 30)

    let expected = try Fixture(at: fixturePath("gguf/smollm2/expected.safetensors"))
    let prompts = try JSONValue(
      parsing: Array(try #require(expected.metadata["prompts"]).utf8), file: "prompts")
    #expect(prompts.arrayValue?.count == 5)
    for (index, prompt) in (prompts.arrayValue ?? []).enumerated() {
      let text = try #require(prompt.stringValue)
      let trace = folder.path("t.safetensors")
      let run = try Programs.run(
        "vtwrun",
        [model, "--raw", "-p", text, "-n", "16", "--ignore-eos", "--json", "--trace", trace])
      try #require(run.status == 0, "\(run.errors)")
      let found = try Fixture(at: trace)
      #expect(try found["input_ids"].integers == expected["\(index).input_ids"].integers)
      let ids = try run.json["token_ids"]?.arrayValue?.compactMap(\.integerValue)
      #expect(try ids == expected["\(index).generated"].integers, "\(text)")
      #expect(try ids == expected["\(index).generated.q4_1"].integers, "\(text)")

      let logits = try found["logits"].floats
      for (name, tolerance) in [
        ("logits", Self.logitTolerance), ("logits.q4_1", Self.roundedTolerance),
      ] {
        expectNear(
          logits, try expected["\(index).\(name)"].floats, tolerance, "\(text): \(name)")
      }
    }
    let answer = try Programs.run("vtwrun", [model, "-p", "What is the capital of France?"])
    #expect(answer.output.contains("Paris"), "\(answer.output)")
  }
}
