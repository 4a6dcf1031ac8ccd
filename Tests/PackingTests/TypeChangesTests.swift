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
}
