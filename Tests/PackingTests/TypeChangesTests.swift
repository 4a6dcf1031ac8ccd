import Architecture
import Checkpoints
import Packing
import TensorCore
import TestSupport
import Testing

@Suite struct TypeChangesTests {
  @Test func countsTensorsByTypeAndEncoding() throws {
    // Matrices in BF16, vectors in F32.
    let checkpoint = try Checkpoint(at: fixturePath("gguf/gqa/gqa.gguf"), projector: "none")
    let plan = PackPlan(checkpoint.configuration, encoding: .q4)
    let changes = TypeChanges(of: checkpoint.tensors, in: plan)
    // Four layers of seven matrices and two norms; embedding and head; the final norm.
    #expect(
      changes.rows.map { [$0.source, $0.encoding.name, "\($0.tensorCount)"] }.sorted {
        $0[1] < $1[1]
      } == [["F32", "f32", "9"], ["BF16", "q4", "28"], ["BF16", "q8", "2"]])
    let bytes = checkpoint.tensors.values.reduce(0) { $0 + $1.range.count }
    #expect(changes.rows.reduce(0) { $0 + $1.sourceByteCount } == bytes)
    #expect(changes.text.hasSuffix(", F32 as f32 (9)"))
    #expect(changes.text.contains(" tensors), BF16 as "))
    #expect(changes.json.arrayValue?.last?["from"] == "F32")
  }

  /// Without an encoding, quantised matrices keep their precision and others get the standard one.
  @Test func typesAreKept() throws {
    let checkpoint = try Checkpoint(at: fixturePath("gguf/gqa/gqa.gguf"), projector: "none")
    let file = try GGUFFile(mapping: fixturePath("gguf/quantised.gguf"))
    var tensors = checkpoint.tensors
    let kept: [(TensorKey, String, Encoding)] = [
      (TensorKey(.embedding), "Q4_K", .q4a), (TensorKey(.head), "Q6_K", .q6),
      (TensorKey(.query, layer: 1), "Q4_0", .q4), (TensorKey(.down, layer: 2), "Q5_K", .q5a),
      (TensorKey(.up, layer: 2), "Q8_0", .q8), (TensorKey(.gate, layer: 2), "Q2_K", .q8),
    ]
    for (key, type, _) in kept { tensors[key] = file.tensors.first { $0.name == type } }
    let plan = PackPlan(checkpoint.configuration, keeping: tensors)
    for (key, _, encoding) in kept { #expect(plan.encodings[key] == encoding, "\(key)") }
    #expect(plan.encodings[TensorKey(.key, layer: 1)] == .q8)
    #expect(plan.encodings[TensorKey(.finalNorm)] == .f32)
    let text = TypeChanges(of: tensors, in: plan).text
    for (_, type, encoding) in kept { #expect(text.contains("\(type) as \(encoding.name) (1")) }
    #expect(text.contains("BF16 as q8 ("))
  }
}
