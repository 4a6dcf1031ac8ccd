import Architecture
import Calibration
import Kernels
import Prompting
import TensorCore
import TestSupport

extension SweepInput {
  /// A prompt: text rows, an image of `visual` rows, text rows; then `answer` more.
  static func random(
    before: Int, visual: [Int], after: Int, answer: Int, seed: UInt64
  ) -> SweepInput {
    var input = ModelInput(ids: [], classes: [], imageCount: visual.count, imageRanges: [])
    func add(_ count: Int, _ tokenClass: TokenClass) {
      for _ in 0..<count { input.ids.append(Int32(5 + (input.ids.count * 7) % 50)) }
      input.classes += Array(repeating: tokenClass, count: count)
    }
    add(before, .system)
    for (index, rows) in visual.enumerated() {
      if index > 0 { add(1, .user) }
      input.imageRanges.append(input.ids.count..<input.ids.count + rows)
      add(rows, .visual)
    }
    add(after, .user)
    add(answer, .generated)
    let rows = Rows(count: visual.reduce(0, +), width: 24)
    rows.fill(from: randomFloats(rows.count * 24, seed: seed))
    let count = input.ids.count
    return SweepInput(
      input: input, visual: visual.isEmpty ? nil : rows,
      answerRows: count - answer - 1..<count)
  }
}
