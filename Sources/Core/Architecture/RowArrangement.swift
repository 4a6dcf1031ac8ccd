/// Which rows of its tiles make up the decoder rows of a picture, in which order.
package struct RowArrangement: Equatable, Sendable {
  /// A share of one row of the picture.
  package struct Placement: Equatable, Sendable {
    /// Row of the tile.
    package var source: Int
    /// Row of the picture.
    package var target: Int
    /// What of the source is added to the target: 1 unless rows are interpolated.
    package var weight: Float
  }

  /// By tile: where its rows go.
  package private(set) var tiles: [[Placement]]
  /// Rows of the picture that are the model's newline.
  package private(set) var newlines: [Int] = []

  /// First all rows of the first tile, then the grid's patches line by line, as if the grid were one
  /// large tile, with a newline behind each line.
  package init(_ layout: PictureLayout) {
    var next = layout.rowsPerTile
    tiles = Array(repeating: [], count: layout.tileCount)
    tiles[0] = (0..<next).map { Placement(source: $0, target: $0, weight: 1) }
    guard let grid = layout.grid else {
      newlines = Array(next..<next + layout.newlineCount)
      return
    }
    let side = layout.patchesPerSide
    let columnTaps = Self.taps(in: layout.columns, count: layout.columnCount)
    for line in Self.taps(in: layout.lines, count: layout.lineCount) {
      for column in columnTaps {
        for (y, yWeight) in line {
          for (x, xWeight) in column {
            tiles[1 + y / side * grid.columns + x / side].append(
              Placement(
                source: y % side * side + x % side, target: next, weight: yWeight * xWeight))
          }
        }
        next += 1
      }
      newlines.append(next)
      next += 1
    }
  }

  /// For each of `count` places spread over `range`: the neighbours that make it up and their
  /// weights, as PyTorch's bilinear interpolation has them.
  private static func taps(in range: Range<Int>, count: Int) -> [[(place: Int, weight: Float)]] {
    guard count < range.count else { return range.map { [(place: $0, weight: Float(1))] } }
    let scale = Float(range.count) / Float(count)
    return (0..<count).map { place in
      let center = max((Float(place) + 0.5) * scale - 0.5, 0)
      let lower = min(Int(center), range.count - 1)
      let upper = min(lower + 1, range.count - 1)
      let weight = min(max(center - Float(lower), 0), 1)
      return [(range.lowerBound + lower, 1 - weight), (range.lowerBound + upper, weight)]
    }
  }
}
