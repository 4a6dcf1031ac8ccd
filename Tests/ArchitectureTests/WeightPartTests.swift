import Architecture
import TestSupport
import Testing

@Suite struct WeightPartTests {
  @Test(arguments: [true, false], [true, false])
  func partsHoldEveryTensor(hasVision: Bool, isTied: Bool) {
    var configuration = TinyModel.configuration
    configuration.text.isHeadTied = isTied
    if !hasVision { (configuration.vision, configuration.projector) = (nil, nil) }
    let layers = (0..<configuration.text.layerCount).map { WeightPart.layer($0) }
    let parts = [.images, .embedding] + layers + [.output]
    let found = parts.flatMap { configuration.tensors(of: $0).map(\.key) }
    var expected = configuration.tensorGroups.joined().map(\.key)
    // A tied head is the embedding once more.
    if isTied { expected.append(TensorKey(.embedding)) }
    #expect(found == expected)
    #expect(configuration.tensors(of: .images).isEmpty == !hasVision)
    #expect(configuration.tensors(of: .layer(3)).allSatisfy { $0.key.layer == 3 })
  }
}
