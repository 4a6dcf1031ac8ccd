import Architecture
import Calibration
import Inference
import Kernels
import Prompting
import TensorCore
import TestSupport
import Testing

@Suite struct LayerSweepTests {
  /// Every K run by itself through the ordinary forward pass, against the sweep.
  @Test(arguments: [KeyValueRows.Precision.f32, .f16])
  func equalsBruteForce(precision: KeyValueRows.Precision) throws {
    let layerCount = TinyModel.configuration.text.layerCount
    let model = try Model(TinyModel.configuration, try TinyModel.tensors(), Compute(threads: 2))
    var inputs: [SweepInput] = []
    for (index, images) in [1, 2, 0].enumerated() {
      var input = ModelInput(
        ids: [1, 5], classes: [.system, .system], imageCount: 0, imageRanges: [])
      for image in 0..<images {
        input.imageRanges.append(input.ids.count..<input.ids.count + 9)
        input.ids += Array(repeating: 60, count: 9) + [Int32(8 + image)]
        input.classes += Array(repeating: .visual, count: 9) + [.user]
      }
      input.imageCount = images
      input.ids += [12, 13, 14]
      input.classes += [.user, .generated, .generated]
      let visual = Rows(count: 9 * images, width: 24)
      visual.fill(from: randomFloats(9 * images * 24, seed: UInt64(index)))
      let count = input.ids.count
      inputs.append(
        SweepInput(
          input: input, visual: images == 0 ? nil : visual, answerRows: count - 3..<count))
    }

    var seen = 0
    LayerSweep(model, precision: precision).run(inputs, progress: { _ in }) {
      index, full, branches in
      seen += 1
      let input = inputs[index]
      for k in 0...layerCount {
        let session = Session(
          model, profile: ScheduleProfile(withdrawingAt: k, of: layerCount), precision: precision)
        let end = input.answerRows.lowerBound + 1
        var prompt = input.input
        prompt.ids.removeLast(prompt.ids.count - end)
        prompt.classes.removeLast(prompt.classes.count - end)
        guard var logits = try? session.prefill(prompt, visual: input.visual) else {
          Issue.record("prefill failed")
          return
        }
        for position in 0..<full.count {
          let found =
            k == layerCount
            ? full[position..<position + 1]
            : branches[k * full.count + position..<k * full.count + position + 1]
          expectClose(
            found.copy(), logits.copy(), relative: precision == .f32 ? 1e-5 : 1e-3,
            "sample \(index), K = \(k), position \(position)")
          if position + 1 < full.count { logits = session.step(input.input.ids[end + position]) }
        }
      }
    }
    #expect(seen == inputs.count)
  }
}
