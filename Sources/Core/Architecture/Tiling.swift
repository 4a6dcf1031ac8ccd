/// How a picture of any shape becomes square tiles for the vision tower, as in LLaVA-NeXT and
/// LLaVA-OneVision.
///
/// The first tile is the whole picture.  Then the picture is fitted into the best of some grids of
/// tiles, with black around it, and cut; of their rows those that show only black do not reach the
/// decoder, and a newline row follows each line of the others.
package struct Tiling: Equatable, Sendable {
  /// Grids to choose from, at least one; of equally good ones the first is taken.
  package var grids: [TileGrid]
  /// Where a grid's rows are more than 1.21 times those of so many tiles, they are thinned to that
  /// number by bilinear interpolation; nil keeps them all.
  package var thinningLimit: Int?

  package init(grids: [TileGrid], thinningLimit: Int? = nil) {
    self.grids = grids
    self.thinningLimit = thinningLimit
  }

  /// The grid that shows most of a picture's detail, and of those the one with the least black.
  ///
  /// - Parameter tileSide: pixels along a side of a tile.
  package func bestGrid(width: Int, height: Int, tileSide: Int) -> TileGrid {
    var best = grids[0]
    var mostDetail = 0
    var leastWaste = Int.max
    for grid in grids {
      let (gridWidth, gridHeight) = (grid.columns * tileSide, grid.rows * tileSide)
      // In floating point and cut, as transformers computes it: it can matter by a pixel.
      let scale = min(
        Double(gridWidth) / Double(width), Double(gridHeight) / Double(height))
      let shown = Int(Double(width) * scale) * Int(Double(height) * scale)
      let detail = min(shown, width * height)
      let waste = gridWidth * gridHeight - detail
      if detail > mostDetail || detail == mostDetail && waste < leastWaste {
        (best, mostDetail, leastWaste) = (grid, detail, waste)
      }
    }
    return best
  }
}

/// Tiles side by side.
package struct TileGrid: Equatable, Sendable {
  package var columns: Int
  package var rows: Int

  package init(columns: Int, rows: Int) {
    self.columns = columns
    self.rows = rows
  }

  /// A grid within the limits; nil for any other.
  ///
  /// - Parameters:
  ///   - tileSide: pixels along a side of a tile.
  ///   - patchesPerTile: rows that a tile gives.
  package init?(columns: Int, rows: Int, tileSide: Int, patchesPerTile: Int) {
    let sides = 1...TilingLimits.tiles
    guard sides.contains(columns), sides.contains(rows), columns * rows <= TilingLimits.tiles,
      max(columns, rows) * tileSide <= TilingLimits.side,
      columns * rows * tileSide * tileSide <= TilingLimits.pixels,
      // Lines have newlines, and the whole picture comes first.
      (2 * columns * rows + 1) * patchesPerTile <= TilingLimits.rows
    else { return nil }
    self.init(columns: columns, rows: rows)
  }

  package var tileCount: Int { columns * rows }

  /// The size of a picture that is fitted into tiles of `tileSide` pixels, black left out.
  package func fittedSize(
    width: Int, height: Int, tileSide: Int
  ) -> (width: Int, height: Int) {
    let (gridWidth, gridHeight) = (columns * tileSide, rows * tileSide)
    let across = Double(gridWidth) / Double(width)
    let down = Double(gridHeight) / Double(height)
    return across < down
      ? (gridWidth, min(Int((Double(height) * across).rounded(.up)), gridHeight))
      : (min(Int((Double(width) * down).rounded(.up)), gridWidth), gridHeight)
  }
}

/// What no model may exceed; pictures that are read keep within the same numbers of pixels.
package enum TilingLimits {
  package static let grids = 256
  /// Tiles of a grid.
  package static let tiles = 256
  /// Pixels along a side of a grid, and altogether.
  package static let side = 65_535
  package static let pixels = 1 << 27
  /// Rows of a picture, as of a sequence.
  package static let rows = 1 << 20

  /// What they say, for messages.
  package static let text =
    "the limits of \(tiles) tiles, \(side) pixels a side, \(pixels) pixels and \(rows) rows"
}
