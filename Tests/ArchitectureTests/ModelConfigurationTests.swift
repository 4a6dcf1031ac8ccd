import Architecture
import TensorCore
import Testing

@Suite struct VisionConfigurationTests {
  @Test func countsOnlyWholePatches() throws {
    var vision = try #require(ModelConfiguration.tinyLLaVA.vision)
    #expect(vision.patchesPerSide == 4)
    #expect(vision.patchCount == 16)
    #expect(vision.rowCount == 17)
    #expect(vision.patchWidth == 147)
    #expect(vision.headDimension == 8)
    #expect(vision.rowsPerTile == 16)
    vision.keepsClassRow = true
    #expect(vision.rowsPerTile == 17)
  }

  @Test func givesLLaVA576Rows() throws {
    var vision = try #require(ModelConfiguration.tinyLLaVA.vision)
    vision.imageSize = 336
    vision.patchSize = 14
    #expect(vision.rowsPerTile == 576)
  }
}

@Suite struct TensorGroupTests {
  private func rows(_ group: [TensorSpecification]) -> [String] {
    group.map { "\($0.key) \($0.shape)" }
  }

  @Test func siglipTowersAndTilesHaveOtherTensors() throws {
    var model = ModelConfiguration.tinyLLaVA
    model.vision?.kind = .siglip
    model.vision?.tiling = Tiling(grids: [TileGrid(columns: 1, rows: 2)])
    let groups = model.tensorGroups
    #expect(
      rows(groups[0]).prefix(4) == [
        "vision.patchEmbedding [24, 147]", "vision.patchEmbeddingBias [24]",
        "vision.positionEmbedding [16, 24]", "vision.layers.0.visionAttentionNorm [24]",
      ])
    #expect(rows(groups[1]).last == "projector.imageNewline [48]")
  }

  @Test func followTheExecutionOfTheModel() {
    let groups = ModelConfiguration.tinyLLaVA.tensorGroups
    #expect(groups.count == 7)
    #expect(
      groups.map { $0.first?.key.role } == [
        .classEmbedding, .projectorIn, .embedding, .attentionNorm, .attentionNorm, .attentionNorm,
        .finalNorm,
      ])
    #expect(groups[3...5].map { $0.first?.key.layer } == [0, 1, 2])
    let keys = groups.joined().map(\.key)
    #expect(Set(keys).count == keys.count)
  }

  @Test func describeTheVisionTower() {
    let group = rows(ModelConfiguration.tinyLLaVA.tensorGroups[0])
    #expect(
      group.prefix(5) == [
        "vision.classEmbedding [24]", "vision.patchEmbedding [24, 147]",
        "vision.positionEmbedding [17, 24]", "vision.preNorm [24]", "vision.preNormBias [24]",
      ])
    #expect(
      group.dropFirst(5 + 16) == [
        "vision.layers.1.visionAttentionNorm [24]", "vision.layers.1.visionAttentionNormBias [24]",
        "vision.layers.1.visionQuery [24, 24]", "vision.layers.1.visionQueryBias [24]",
        "vision.layers.1.visionKey [24, 24]", "vision.layers.1.visionKeyBias [24]",
        "vision.layers.1.visionValue [24, 24]", "vision.layers.1.visionValueBias [24]",
        "vision.layers.1.visionAttentionOutput [24, 24]",
        "vision.layers.1.visionAttentionOutputBias [24]",
        "vision.layers.1.visionFeedForwardNorm [24]",
        "vision.layers.1.visionFeedForwardNormBias [24]", "vision.layers.1.visionUp [56, 24]",
        "vision.layers.1.visionUpBias [56]", "vision.layers.1.visionDown [24, 56]",
        "vision.layers.1.visionDownBias [24]",
      ])
  }

  @Test func describeTheProjector() {
    var model = ModelConfiguration.tinyLLaVA
    #expect(
      rows(model.tensorGroups[1]) == [
        "projector.projectorIn [48, 24]", "projector.projectorInBias [48]",
        "projector.projectorOut [48, 48]", "projector.projectorOutBias [48]",
      ])
    model.vision?.featureLayers = [0, 2]
    model.projector?.hasBias = false
    #expect(
      rows(model.tensorGroups[1]) == [
        "projector.projectorIn [48, 48]", "projector.projectorOut [48, 48]",
      ])
  }

  @Test func describeADecoderLayerWithGroupedQueries() {
    #expect(
      rows(ModelConfiguration.tinyLLaVA.tensorGroups[4]) == [
        "text.layers.1.attentionNorm [48]", "text.layers.1.query [40, 48]",
        "text.layers.1.key [20, 48]", "text.layers.1.value [20, 48]",
        "text.layers.1.attentionOutput [48, 40]", "text.layers.1.feedForwardNorm [48]",
        "text.layers.1.gate [80, 48]", "text.layers.1.up [80, 48]", "text.layers.1.down [48, 80]",
      ])
  }

  @Test func putBiasesBehindTheirMatrices() {
    var model = ModelConfiguration.tinyLLaVA
    model.text.hasQueryKeyValueBias = true
    model.text.hasOutputBias = true
    model.text.hasMLPBias = true
    #expect(
      rows(model.tensorGroups[3]) == [
        "text.layers.0.attentionNorm [48]", "text.layers.0.query [40, 48]",
        "text.layers.0.queryBias [40]", "text.layers.0.key [20, 48]", "text.layers.0.keyBias [20]",
        "text.layers.0.value [20, 48]", "text.layers.0.valueBias [20]",
        "text.layers.0.attentionOutput [48, 40]", "text.layers.0.attentionOutputBias [48]",
        "text.layers.0.feedForwardNorm [48]", "text.layers.0.gate [80, 48]",
        "text.layers.0.gateBias [80]", "text.layers.0.up [80, 48]", "text.layers.0.upBias [80]",
        "text.layers.0.down [48, 80]", "text.layers.0.downBias [48]",
      ])
  }

  @Test func leaveATiedHeadOut() {
    var model = ModelConfiguration.tinyLLaVA
    #expect(rows(model.tensorGroups[6]) == ["text.finalNorm [48]", "text.head [100, 48]"])
    model.text.isHeadTied = true
    #expect(rows(model.tensorGroups[6]) == ["text.finalNorm [48]"])
    #expect(rows(model.tensorGroups[2]) == ["text.embedding [100, 48]"])
  }

  @Test func startWithTheEmbeddingWithoutVision() {
    var model = ModelConfiguration.tinyLLaVA
    model.vision = nil
    model.projector = nil
    #expect(model.tensorGroups.count == 5)
    #expect(model.tensorGroups[0].map(\.key.role) == [.embedding])
  }

  @Test func encodeMatricesOnly() {
    let kinds = Dictionary(
      uniqueKeysWithValues: ModelConfiguration.tinyLLaVA.tensorGroups.joined()
        .map { ($0.key, $0.kind) })
    #expect(kinds[TensorKey(.embedding)] == .embedding)
    #expect(kinds[TensorKey(.positionEmbedding)] == .vector)
    #expect(kinds[TensorKey(.patchEmbedding)] == .matrix)
    #expect(kinds[TensorKey(.head)] == .matrix)
    #expect(kinds[TensorKey(.down, layer: 2)] == .matrix)
    #expect(kinds[TensorKey(.attentionNorm, layer: 0)] == .vector)
    #expect(kinds[TensorKey(.visionUpBias, layer: 1)] == .vector)
  }
}

@Suite struct TensorTableTests {
  @Test func findsTensorsByRoleAndLayer() throws {
    let region = ByteRegion(copying: Array(repeating: 0, count: 64))
    let view = try #require(TensorView(region, offset: 0, shape: [2], encoding: .f32))
    let other = try #require(TensorView(region, offset: 8, shape: [3], encoding: .f32))
    var table = TensorTable([(TensorKey(.query, layer: 1), view)])
    table[TensorKey(.finalNorm)] = other
    #expect(table[.query, layer: 1]?.shape == [2])
    #expect(table[.query, layer: 0] == nil)
    #expect(table[.query] == nil)
    #expect(table[.finalNorm]?.shape == [3])
    #expect(table.keys == [TensorKey(.finalNorm), TensorKey(.query, layer: 1)])
    table[TensorKey(.finalNorm)] = nil
    #expect(table.keys.count == 1)
  }

  @Test func ordersKeysByLayerThenRole() {
    let keys = [
      TensorKey(.key, layer: 0), TensorKey(.head), TensorKey(.query, layer: 1),
      TensorKey(.query, layer: 0), TensorKey(.embedding),
    ]
    #expect(
      keys.sorted() == [
        TensorKey(.embedding), TensorKey(.head), TensorKey(.query, layer: 0),
        TensorKey(.key, layer: 0), TensorKey(.query, layer: 1),
      ])
  }
}
