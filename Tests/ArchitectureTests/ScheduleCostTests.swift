import Architecture
import Testing

@Suite struct ScheduleCostTests {
  /// The decoder of LLaVA-1.5-7B and LLaVA-NeXT-7B.
  private func decoder(keyValueHeads: Int = 32) -> TextConfiguration {
    TextConfiguration(
      layerCount: 32, hiddenSize: 4096, intermediateSize: 11_008, headCount: 32,
      keyValueHeadCount: keyValueHeads, headDimension: 128, vocabularySize: 32_064,
      contextLength: 4096, normEpsilon: 1e-5, rope: RoPEConfiguration(theta: 10_000))
  }

  private func cost(
    withdrawingAt k: Int, visualRows: Int, textRows: Int = 64
  ) -> ScheduleCost {
    ScheduleCost(
      ScheduleProfile(withdrawingAt: k, of: 32), text: decoder(), textRows: textRows,
      visualRows: visualRows)
  }

  // 32 (2·640·(4·4096 + 3·11008)·4096 + 4·640²·4096) and the like, to the last operation.
  @Test(arguments: [(576, 8_504_035_246_080.0, 0.5489), (2880, 42_674_795_053_056.0, 0.5097)])
  func agreesWithLLaVA7B(visualRows: Int, full: Double, half: Double) {
    let found = cost(withdrawingAt: 32, visualRows: visualRows)
    #expect(found.operations == full)
    #expect(found.keyValueRows == 32 * (64 + visualRows))
    let ratio = cost(withdrawingAt: 16, visualRows: visualRows).operations / full
    #expect((ratio - half).magnitude < 5e-5)
    #expect(
      cost(withdrawingAt: 16, visualRows: visualRows).keyValueRows
        == 32 * 64 + 16 * visualRows)
  }

  @Test func costsTextAloneWithoutVisualRows() {
    #expect(cost(withdrawingAt: 0, visualRows: 576) == cost(withdrawingAt: 32, visualRows: 0))
    #expect(cost(withdrawingAt: 7, visualRows: 0) == cost(withdrawingAt: 32, visualRows: 0))
  }

  @Test func givesRatiosAgainstNeverWithdrawing() {
    var model = ModelConfiguration.tinyLLaVA
    let never = ScheduleProfile(withdrawingAt: 3, of: 3).costRatios(model, textRows: 4)
    #expect(never.operations == 1)
    #expect(never.keyValue == 1)
    // 16 visual rows in one layer of three: (3·4 + 16) of 3·20 rows.
    let early = ScheduleProfile(withdrawingAt: 1, of: 3).costRatios(model, textRows: 4)
    #expect(early.keyValue == 28.0 / 60)
    #expect(early.operations > 4.0 / 20)
    #expect(early.operations < early.keyValue)
    model.vision = nil
    let textOnly = ScheduleProfile(withdrawingAt: 0, of: 3).costRatios(model, textRows: 4)
    #expect(textOnly.operations == 1)
    #expect(textOnly.keyValue == 1)
  }

  @Test func risesWithEveryLayerThatSeesVisualRows() {
    let costs = (0...32).map { cost(withdrawingAt: $0, visualRows: 576).operations }
    #expect(zip(costs, costs.dropFirst()).allSatisfy { $0 < $1 })
  }

  /// Per layer, what frozen visual rows add over text alone, as a share of what full ones add.
  private func frozenShare(keyValueHeads: Int) -> Double {
    func operations(_ classes: ClassMask, frozen: ClassMask = []) -> Double {
      let segment = ScheduleSegment(layers: 0..<1, classes: classes, frozen: frozen)
      return ScheduleCost(
        ScheduleProfile(name: "", segments: [segment]), text: decoder(keyValueHeads: keyValueHeads),
        textRows: 64, visualRows: 576
      ).operations
    }
    let text = operations(.text)
    return (operations(.all, frozen: .visual) - text) / (operations(.all) - text)
  }

  @Test func countsKeysValuesAndAttentionOfFrozenRows() {
    let segment = ScheduleSegment(layers: 0..<2, classes: .all, frozen: .visual)
    let found = ScheduleCost(
      ScheduleProfile(name: "", segments: [segment]), text: decoder(), textRows: 64,
      visualRows: 576)
    // 2t(2h + 2h_kv + 3m)h + 4v·h_kv·h + 4t(t + v)h, twice.
    let (t, v, h, m) = (64.0, 576.0, 4096.0, 11_008.0)
    let layer = 2 * t * (4 * h + 3 * m) * h + 4 * v * h * h + 4 * t * (t + v) * h
    #expect(found.operations == 2 * layer)
    #expect(found.keyValueRows == 2 * 640)
    #expect((frozenShare(keyValueHeads: 32) - 0.1637).magnitude < 1e-4)
    // Eight query heads share a key: nearly free.
    #expect(frozenShare(keyValueHeads: 4) < 0.03)
  }
}
