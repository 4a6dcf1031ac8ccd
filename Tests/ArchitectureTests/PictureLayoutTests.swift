import Architecture
import TensorCore
import TestSupport
import Testing

@Suite struct PictureLayoutTests {
  /// Tiles of 4 pixels and 2 x 2 patches.
  private static func vision(_ grids: [TileGrid], limit: Int? = nil) -> VisionConfiguration {
    VisionConfiguration(
      kind: .siglip, hiddenSize: 8, intermediateSize: 8, layerCount: 1, headCount: 1,
      imageSize: 4, patchSize: 2, activation: .gelu, normEpsilon: 1e-5, featureLayers: [1],
      keepsClassRow: false, tiling: Tiling(grids: grids, thinningLimit: limit))
  }

  private static let untiled = VisionConfiguration(
    hiddenSize: 24, intermediateSize: 56, layerCount: 2, headCount: 3, imageSize: 30,
    patchSize: 7, activation: .quickGELU, normEpsilon: 1e-5, featureLayers: [2],
    keepsClassRow: false)

  /// LLaVA-NeXT, and LLaVA-OneVision.
  private static let models: [VisionConfiguration] = {
    var next = VisionConfiguration(
      hiddenSize: 1024, intermediateSize: 4096, layerCount: 23, headCount: 16, imageSize: 336,
      patchSize: 14, activation: .quickGELU, normEpsilon: 1e-5, featureLayers: [23],
      keepsClassRow: false)
    var onevision = next
    next.tiling = Tiling(
      grids: [(2, 1), (1, 2), (2, 2), (1, 3), (3, 1)].map { TileGrid(columns: $0, rows: $1) })
    onevision.kind = .siglip
    onevision.imageSize = 384
    onevision.tiling = Tiling(
      grids: (1...6).flatMap { rows in (1...6).map { TileGrid(columns: $0, rows: rows) } },
      thinningLimit: 9)
    return [next, onevision]
  }()

  /// `tools/reference/make_row_counts.py`.
  @Test func rowsAreAsManyAsTransformersCounts() throws {
    let path = fixturePath("expected/row-counts.json")
    let sizes = try #require(
      JSONValue(parsing: try fileBytes(at: path, limit: 1 << 20), file: path).arrayValue)
    #expect(sizes.count == 600)
    for size in sizes {
      let numbers = try #require(size.arrayValue).compactMap(\.integerValue)
      for (vision, expected) in zip(Self.models, numbers[2...]) {
        let layout = PictureLayout(width: numbers[0], height: numbers[1], vision: vision)
        #expect(layout.rowCount == expected, "\(numbers[0]) x \(numbers[1])")
      }
    }
  }

  @Test func largestPicturesFillTheirGrid() {
    #expect(Self.models.map(\.largestLayout.rowCount) == [2928, 8154])
    #expect(Self.models.map(\.largestLayout.tileCount) == [5, 11])
    let plain = Self.untiled.largestLayout
    #expect(plain.rowCount == 16 && plain.tileCount == 1 && plain.newlineCount == 0)
  }

  @Test func aModelWithoutTilesHasItsRowsInOrder() {
    let vision = Self.untiled
    let layout = PictureLayout(width: 500, height: 3, vision: vision)
    #expect(layout == PictureLayout(oneTileOf: vision))
    let arrangement = RowArrangement(layout)
    #expect(arrangement.newlines.isEmpty && arrangement.tiles.count == 1)
    #expect(arrangement.tiles[0].map(\.source) == Array(0..<16))
    #expect(arrangement.tiles[0].map(\.target) == Array(0..<16))
    #expect(arrangement.tiles[0].allSatisfy { $0.weight == 1 })
  }

  @Test func oneTileOfATiledModelEndsWithANewline() {
    let vision = Self.vision([TileGrid(columns: 2, rows: 1)])
    let layout = PictureLayout(oneTileOf: vision)
    #expect(layout.rowCount == 5 && layout.tileCount == 1)
    #expect(RowArrangement(layout).newlines == [4])
  }

  /// Two tiles side by side: each line runs through both.
  @Test func linesRunThroughAllTilesOfAGrid() {
    let vision = Self.vision([TileGrid(columns: 2, rows: 1)])
    let layout = PictureLayout(width: 8, height: 4, vision: vision)
    #expect(layout.rowCount == 4 + 2 * 5 && layout.tileCount == 3 && layout.newlineCount == 2)
    let arrangement = RowArrangement(layout)
    #expect(arrangement.newlines == [8, 13])
    #expect(arrangement.tiles[1].map(\.target) == [4, 5, 9, 10])
    #expect(arrangement.tiles[2].map(\.target) == [6, 7, 11, 12])
    #expect(arrangement.tiles[2].map(\.source) == [0, 1, 2, 3])
  }

  @Test func blackPatchesAreLeftOut() {
    // 2 x 2 tiles are 4 x 4 patches; of a picture of half the height two lines show something.
    let vision = Self.vision([TileGrid(columns: 2, rows: 2)])
    let wide = RowArrangement(PictureLayout(width: 80, height: 40, vision: vision))
    #expect(wide.newlines == [8, 13])
    #expect(wide.tiles[1].map(\.source) == [2, 3] && wide.tiles[3].map(\.source) == [0, 1])
    // Of a line nothing is left but the whole picture; of a column the newlines.
    #expect(PictureLayout(width: 4000, height: 4, vision: vision).rowCount == 4)
    #expect(PictureLayout(width: 4, height: 4000, vision: vision).rowCount == 4 + 4)
  }

  @Test func thinningInterpolatesBetweenNeighbours() {
    // 4 x 4 patches for a limit of one tile: a quarter of them, each from four.
    let vision = Self.vision([TileGrid(columns: 2, rows: 2)], limit: 1)
    let layout = PictureLayout(width: 80, height: 80, vision: vision)
    #expect(layout.rowCount == 4 + 2 * 3)
    let arrangement = RowArrangement(layout)
    #expect(arrangement.newlines == [6, 9])
    for (tile, target) in [(1, 4), (2, 5), (3, 7), (4, 8)] {
      #expect(arrangement.tiles[tile].map(\.target) == Array(repeating: target, count: 4))
      #expect(arrangement.tiles[tile].map(\.weight) == [0.25, 0.25, 0.25, 0.25])
    }
    // Up to 1.21 tiles stay as they are.
    let slightly = Self.vision([TileGrid(columns: 1, rows: 1)], limit: 1)
    #expect(PictureLayout(width: 9, height: 9, vision: slightly).rowCount == 4 + 2 * 3)
  }

  @Test func ofEquallyGoodGridsTheFirstIsTaken() {
    let grids = [TileGrid(columns: 1, rows: 2), TileGrid(columns: 2, rows: 1)]
    for order in [grids, grids.reversed()] {
      let tiling = Tiling(grids: order)
      #expect(tiling.bestGrid(width: 3, height: 3, tileSide: 4) == order[0])
      #expect(tiling.bestGrid(width: 90, height: 30, tileSide: 4) == grids[1])
    }
  }

  @Test func gridsHaveLimits() {
    func grid(_ columns: Int, _ rows: Int, side: Int = 4, patches: Int = 4) -> TileGrid? {
      TileGrid(columns: columns, rows: rows, tileSide: side, patchesPerTile: patches)
    }
    #expect(grid(16, 16) != nil && grid(256, 1) != nil)
    #expect(grid(17, 16) == nil && grid(0, 1) == nil && grid(1, -1) == nil)
    #expect(grid(.max, .max) == nil && grid(.min, 1) == nil)
    #expect(grid(4, 1, side: 16384) == nil && grid(3, 1, side: 16384) == nil)
    #expect(grid(2, 2, side: 4096) != nil && grid(3, 3, side: 4096) == nil)
    #expect(grid(16, 16, patches: 2044) != nil && grid(16, 16, patches: 2045) == nil)
  }
}
