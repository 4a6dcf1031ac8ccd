import Architecture
import TensorCore

extension Tiling {
  /// `image_grid_pinpoints` and `vision_aspect_ratio` of a model's configuration.
  ///
  /// - Parameter vision: the tower that takes the tiles.
  init(
    _ settings: Settings, defaults: LlavaFamily.Tiling, vision: VisionConfiguration
  ) throws(InputError) {
    self.init(grids: try settings.grids(defaults.grids, vision: vision))
    guard let fallback = defaults.aspectRatio else { return }
    let key = "vision_aspect_ratio"
    let prefix = "anyres_max_"
    let ratio = try settings.string(key) ?? fallback
    guard ratio.hasPrefix(prefix), let limit = Int(ratio.dropFirst(prefix.count)),
      (1...TilingLimits.tiles).contains(limit)
    else {
      throw settings.error(
        key,
        "is '\(printable(ratio, limit: 60))'; \(prefix)1 to \(prefix)\(TilingLimits.tiles) is "
          + "expected")
    }
    thinningLimit = limit
  }
}

extension Settings {
  /// `image_grid_pinpoints`: sizes in pixels, height first, that are whole tiles of `vision`.
  func grids(
    _ fallback: [[Int]], vision: VisionConfiguration
  ) throws(InputError) -> [TileGrid] {
    let key = "image_grid_pinpoints"
    var sizes = fallback
    if let items = try array(key) {
      guard (1...TilingLimits.grids).contains(items.count) else {
        throw error(key, "has \(items.count) sizes; 1...\(TilingLimits.grids) are expected")
      }
      sizes = []
      for item in items {
        guard let pair = item.arrayValue, pair.count == 2 else {
          throw error(key, "holds something else than pairs of height and width")
        }
        var size: [Int] = []
        for number in pair { size.append(try integer(number, key, in: 1...TilingLimits.side)) }
        sizes.append(size)
      }
    }
    var grids: [TileGrid] = []
    for size in sizes {
      guard let grid = TileGrid(height: size[0], width: size[1], vision: vision) else {
        throw error(
          key, "has a size of \(size[0]) x \(size[1]), which \(TileGrid.rule(for: vision))")
      }
      grids.append(grid)
    }
    return grids
  }
}

extension TileGrid {
  /// The grid of a size in pixels; nil unless it is whole tiles within the limits.
  init?(height: Int, width: Int, vision: VisionConfiguration) {
    let side = vision.imageSize
    guard height.isMultiple(of: side), width.isMultiple(of: side) else { return nil }
    self.init(
      columns: width / side, rows: height / side, tileSide: side,
      patchesPerTile: vision.patchCount)
  }

  /// What a size must be, for messages.
  static func rule(for vision: VisionConfiguration) -> String {
    "is not of whole tiles of \(vision.imageSize) within \(TilingLimits.text)"
  }
}
