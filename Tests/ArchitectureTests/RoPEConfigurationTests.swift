import Architecture
import TestSupport
import Testing

/// Expected values: `LlamaRotaryEmbedding(config).inv_freq` of transformers 5.23, in f32.
@Suite struct RoPEConfigurationTests {
  // Two units in the last place: the libraries' powers differ by one.
  private let tolerance: Float = 2.4e-7

  private func expectSame(_ rope: RoPEConfiguration, _ expected: [Float]) {
    let found = rope.frequencies(dimension: 2 * expected.count)
    // Frequencies span orders of magnitude, so each has its own scale.
    expectClose(
      zip(found, expected).map { $0 / $1 }, expected.map { _ in 1 }, relative: tolerance)
    #expect(found.count == expected.count)
  }

  @Test func givesPlainFrequencies() {
    expectSame(
      RoPEConfiguration(theta: 10_000),
      [1.0, 0.31622776, 0.1, 0.03162278, 0.01, 0.0031622779, 0.001, 0.0003162278])
  }

  @Test func dividesAllFrequenciesByALinearFactor() {
    expectSame(
      RoPEConfiguration(theta: 10_000, scaling: .linear(factor: 4)),
      [0.25, 0.07905694, 0.025, 0.007905695, 0.0025, 0.00079056947, 0.00025, 7.905695e-05])
  }

  @Test func dividesLowFrequenciesAsLlama3Does() {
    expectSame(
      RoPEConfiguration(
        theta: 500_000,
        scaling: .llama3(
          factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 8192)),
      [
        1.0, 0.44036663, 0.19392276, 0.0853971, 0.03760603, 0.01656044, 0.007292665, 0.003211446,
        0.000524846, 7.7846555e-05, 3.4281024e-05, 1.5096218e-05, 6.6478697e-06, 2.9274997e-06,
        1.2891732e-06, 5.677088e-07,
      ])
  }

  @Test func givesEveryEighthFrequencyOfARealHead() {
    let found = RoPEConfiguration(theta: 1e6).frequencies(dimension: 128)
    let expected: [Float] = [
      1.0, 0.17782794, 0.03162278, 0.0056234132, 0.001, 0.00017782794, 3.1622774e-05,
      5.6234135e-06,
    ]
    #expect(found.count == 64)
    for (index, value) in expected.enumerated() {
      #expect((found[8 * index] / value - 1).magnitude < tolerance)
    }
  }
}
