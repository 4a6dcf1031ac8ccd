import Glibc

/// What becomes of one picture: how many tiles it is cut into, and how many decoder rows it gives.
///
/// A model without tiling is the case of one tile all of whose rows follow each other.
package struct PictureLayout: Equatable, Sendable {
  /// The grid behind the tile that shows the whole picture; nil: that tile is the only one.
  package let grid: TileGrid?
  /// Patches of the whole grid, down and across, that show the picture and not black.
  let lines: Range<Int>
  let columns: Range<Int>
  /// As many of them as are left when they are thinned.
  let lineCount: Int
  let columnCount: Int
  /// Patches along a side of a tile.
  let patchesPerSide: Int
  let rowsPerTile: Int
  /// Newline rows: one behind each line, or behind the only tile.
  package let newlineCount: Int

  /// One tile that shows the whole picture.
  package init(oneTileOf vision: VisionConfiguration) {
    self.init(nil, lines: 0..<0, columns: 0..<0, vision)
  }

  /// A picture of that size in pixels.
  package init(width: Int, height: Int, vision: VisionConfiguration) {
    guard let tiling = vision.tiling else {
      self.init(oneTileOf: vision)
      return
    }
    let grid = tiling.bestGrid(width: width, height: height, tileSide: vision.imageSize)
    let across = grid.columns * vision.patchesPerSide
    let down = grid.rows * vision.patchesPerSide
    // On both sides as many patches are left out as fit half of what the picture leaves free.
    // Whole numbers give what transformers computes in floating point, rounded to 7 digits.
    var lines = 0..<down
    var columns = 0..<across
    if width * down > across * height {
      let black = (down - height * across / width) / 2
      lines = black..<down - black
    } else {
      let black = (across - width * down / height) / 2
      columns = black..<across - black
    }
    self.init(grid, lines: lines, columns: columns, vision)
  }

  /// A picture that fills `grid`.
  package init(filling grid: TileGrid, vision: VisionConfiguration) {
    let side = vision.patchesPerSide
    self.init(grid, lines: 0..<grid.rows * side, columns: 0..<grid.columns * side, vision)
  }

  private init(
    _ grid: TileGrid?, lines: Range<Int>, columns: Range<Int>, _ vision: VisionConfiguration
  ) {
    self.grid = grid
    self.lines = lines
    self.columns = columns
    patchesPerSide = vision.patchesPerSide
    rowsPerTile = vision.rowsPerTile
    var ratio = 1.0
    if let limit = vision.tiling?.thinningLimit {
      let share = Double(lines.count * columns.count) / Double(limit * vision.patchCount)
      ratio = share.squareRoot()
    }
    let isThinned = ratio > 1.1
    lineCount = isThinned ? Self.wholeQuotient(Double(lines.count), ratio) : lines.count
    columnCount = isThinned ? Self.wholeQuotient(Double(columns.count), ratio) : columns.count
    newlineCount = vision.tiling == nil ? 0 : grid == nil ? 1 : lineCount
  }

  /// How often `divisor` fits into `value`, as Python's `//` has it.
  private static func wholeQuotient(_ value: Double, _ divisor: Double) -> Int {
    // A quotient that only rounding made whole does not count as whole.
    Int(((value - fmod(value, divisor)) / divisor).rounded())
  }

  /// Tiles of the picture: the whole one first, then those of the grid, line by line.
  package var tileCount: Int { 1 + (grid?.tileCount ?? 0) }

  /// Rows that the decoder gets, newlines included.
  package var rowCount: Int { rowsPerTile + lineCount * columnCount + newlineCount }
}
