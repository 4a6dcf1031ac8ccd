import Architecture
import Checkpoints
import Kernels
import Packing
import TensorCore
import TestSupport
import Testing

@Suite struct SourceWeightsTests {
  /// Every value of every source, and no page of any part but the one that was entered.
  @Test(arguments: ["models/gqa", "models/mqa", "models/mha-tied", "gguf/gqa"])
  func holdTheValuesOfOnePart(name: String) throws {
    let checkpoint = try Checkpoint(at: fixturePath(name))
    let configuration = checkpoint.configuration
    let weights = try SourceWeights(checkpoint, compute: Compute(threads: 2))
    let layers = (0..<configuration.text.layerCount).map { WeightPart.layer($0) }
    for part in [.output, .embedding] + layers + [.images, nil] {
      try weights.enter(part)
      let keys = Set(part.map { configuration.tensors(of: $0).map(\.key) } ?? [])
      for (key, source) in checkpoint.tensors {
        let view = try #require(weights.tensors[key])
        if keys.contains(key) {
          let found = TilePacker.unpack(view, rows: 0..<view.rows)
          #expect(found == source.values(), "\(key)")
        } else {
          let end = view.byteRange.lowerBound + 64 << 10
          let pages = view.byteRange.lowerBound..<min(end, view.region.byteCount)
          #expect(try residentPages(view.region, pages) == 0, "\(key) beside \(keys.count)")
        }
      }
    }
  }
}
