import Architecture
import Inference
import Kernels
import Prompting
import TensorCore
import TestSupport
import Testing

@Suite struct VisionPagesTests {
  /// As the tiny model, but with a tower whose matrices have whole pages.
  static let configuration: ModelConfiguration = {
    var configuration = TinyModel.configuration
    configuration.vision?.hiddenSize = 64
    configuration.vision?.intermediateSize = 96
    return configuration
  }()

  @Test func droppedPagesAreOutOfMemoryUntilTheNextImage() throws {
    let configuration = Self.configuration
    let folder = try TemporaryFolder()
    let tensors = try mapped(
      try TinyModel.tensors(configuration), of: configuration, in: folder)
    let model = try Model(configuration, tensors, Compute(threads: 2))
    let side = try #require(configuration.vision?.imageSize)
    let tile = PixelTensor(
      width: side, height: side, values: randomFloats(3 * side * side, seed: 8))
    let image = Picture(
      tiles: [tile], layout: PictureLayout(oneTileOf: try #require(configuration.vision)))
    func resident(_ role: TensorRole, _ layer: Int) throws -> Int {
      let view = try #require(tensors[TensorKey(role, layer: layer)])
      return try residentPages(view.region, view.byteRange)
    }

    let before = try model.encode([image]).copy()
    #expect(try resident(.visionQuery, 0) == 4)
    model.dropVisionPages()
    for layer in 0..<2 {
      for role in [TensorRole.visionQuery, .visionAttentionOutput, .visionUp, .visionDown] {
        #expect(try resident(role, layer) == 0, "\(role) of layer \(layer)")
      }
    }
    #expect(try model.encode([image]).copy() == before)
    #expect(try resident(.visionQuery, 0) == 4)
  }
}
