import Architecture
import Calibration
import Inference
import Kernels
import Prompting
import TensorCore
import TestSupport
import Testing

@Suite struct InputMomentsTests {
  @Test func areMeansOfSquaresPerColumn() throws {
    let moments = InputMoments()
    for values in [[1, 2, 3, 4] as [Float], [5, 6]] {
      let rows = Rows(count: values.count / 2, width: 2)
      rows.fill(from: values)
      moments.add(.gate, 3, rows)
    }
    let expected: [Float] = [(1 + 9 + 25) / 3, (4 + 16 + 36) / 3]
    // Gate and up read the same rows.
    for role in [TensorRole.gate, .up] {
      #expect(moments[TensorKey(role, layer: 3)] == expected)
    }
    #expect(moments[TensorKey(.gate, layer: 2)] == nil)
    #expect(moments[TensorKey(.down, layer: 3)] == nil)
  }

  /// The pass over a batch gives what the ordinary forward pass gives, and shows the rows that
  /// enter every product once.
  @Test func fullPassEqualsTheSession() throws {
    let configuration = TinyModel.configuration
    let layerCount = configuration.text.layerCount
    let model = try Model(configuration, try TinyModel.tensors(), Compute(threads: 2))
    let inputs = [7, 4].map { (count: Int) -> SweepInput in
      let input = ModelInput(
        ids: (0..<count).map { Int32($0 + 5) },
        classes: Array(repeating: TokenClass.user, count: count), imageCount: 0, imageRanges: [])
      return SweepInput(input: input, visual: nil, answerRows: count - 1..<count)
    }
    var seen: [TensorKey: Int] = [:]
    let normed = try #require(
      try FullPass(model, precision: .f32).run(
        inputs,
        observe: { role, layer, rows in
          seen[TensorKey(role, layer: layer), default: 0] += rows.count
        }))
    for (rows, input) in zip(normed, inputs) {
      let session = Session(
        model, profile: ScheduleProfile(withdrawingAt: layerCount, of: layerCount),
        precision: .f32)
      let expected = try session.prefill(input.input, visual: nil)
      expectClose(model.decoder.logits(rows).copy(), expected.copy(), relative: 1e-5, "logits")
    }
    for layer in 0..<layerCount {
      for role in [TensorRole.query, .attentionOutput, .gate, .down] {
        #expect(seen[TensorKey(role, layer: layer)] == 11, "\(role) \(layer)")
      }
    }
    #expect(seen[TensorKey(.head)] == 2)
    #expect(seen.count == 4 * layerCount + 1)
  }
}
