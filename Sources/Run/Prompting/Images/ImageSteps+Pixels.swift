package import Architecture
package import TensorCore

/// 65,535: as for images that are read; keeps every size below from overflowing.
private let longestSide = 65_535

extension ImageSteps {
  /// Resizes, crops, rescales and normalises `image`, bit for bit as Hugging Face's CLIP and LLaVA
  /// image processors do with Pillow and NumPy.
  ///
  /// What the crop cuts off is not computed.  A picture smaller than the crop is centred on black.
  ///
  /// - Throws: `InputError` if the steps themselves are unusable, or give this picture a side
  ///   longer than 65,535.
  package func pixels(of image: RGBImage) throws(InputError) -> PixelTensor {
    try pixels(of: image, resize)
  }

  /// The tiles of `image` and what becomes of their rows.
  ///
  /// - Parameter isAlone: whether it is the only picture of its prompt.
  /// - Throws: as `pixels`.
  package func picture(
    of image: RGBImage, vision: VisionConfiguration, isAlone: Bool
  ) throws(InputError) -> Picture {
    if !isAlone, let resizeOfSeveral {
      return Picture(
        tiles: [try pixels(of: image, resizeOfSeveral)], layout: PictureLayout(oneTileOf: vision))
    }
    let layout = PictureLayout(width: image.width, height: image.height, vision: vision)
    var tiles = [try pixels(of: image)]
    guard let grid = layout.grid else { return Picture(tiles: tiles, layout: layout) }
    let side = vision.imageSize
    let (width, height) = grid.fittedSize(
      width: image.width, height: image.height, tileSide: side)
    let fitted = image.resized(width: width, height: height, filter: filter)
    let left = (grid.columns * side - width) / 2
    let top = (grid.rows * side - height) / 2
    for row in 0..<grid.rows {
      for column in 0..<grid.columns {
        let (x, y) = (column * side - left, row * side - top)
        tiles.append(
          PixelTensor(
            width: side, height: side,
            values: try normalized(fitted, columns: x..<x + side, rows: y..<y + side)))
      }
    }
    return Picture(tiles: tiles, layout: layout)
  }

  private func pixels(
    of image: RGBImage, _ resize: Resize
  ) throws(InputError) -> PixelTensor {
    let canvas =
      switch resize {
      case .padSquare(_, let color):
        Canvas(
          square: image,
          color: try channels(color, "padding colour").map { UInt8(clamping: $0) })
      case .shortestEdge, .exact, .none: Canvas(image)
      }
    let (width, height) = try targetSize(of: canvas, resize)
    let columns = cropped(width)
    let rows = cropped(height)
    guard !columns.isEmpty, !rows.isEmpty, columns.count <= longestSide, rows.count <= longestSide
    else {
      throw InputError(
        "",
        "a picture of \(image.width) x \(image.height) pixels becomes \(columns.count) x"
          + " \(rows.count) by the model's image steps; 1 to \(longestSide) are accepted")
    }
    let visible = canvas.resized(
      targetWidth: width, targetHeight: height, filter: filter,
      columns: columns.clamped(to: 0..<width), rows: rows.clamped(to: 0..<height))
    let (left, top) = (min(columns.lowerBound, 0), min(rows.lowerBound, 0))
    return PixelTensor(
      width: columns.count, height: rows.count,
      values: try normalized(
        visible, columns: left..<left + columns.count, rows: top..<top + rows.count))
  }

  /// The size of the whole resized canvas, before the crop.
  private func targetSize(
    of canvas: Canvas, _ resize: Resize
  ) throws(InputError) -> (width: Int, height: Int) {
    switch resize {
    case .none: return (canvas.width, canvas.height)
    case .exact(let size), .padSquare(let size, _):
      try check(size)
      return (size, size)
    case .shortestEdge(let size):
      try check(size)
      let short = min(canvas.width, canvas.height)
      let long = max(canvas.width, canvas.height)
      let stretched = Int(Double(size * long) / Double(short))
      return canvas.width <= canvas.height ? (size, stretched) : (stretched, size)
    }
  }

  private func check(_ size: Int) throws(InputError) {
    guard (1...longestSide).contains(size) else {
      throw InputError(
        "", "the model's image steps resize to \(size); 1 to \(longestSide) expected")
    }
  }

  /// The part of an axis of `count` that the crop keeps; reaches outside if the crop is larger.
  private func cropped(_ count: Int) -> Range<Int> {
    guard let cropSize else { return 0..<count }
    guard (1...longestSide).contains(cropSize) else { return 0..<0 }
    // Rounds down also below zero.
    let start = (count - cropSize) >> 1
    return start..<start + cropSize
  }

  /// `[3, rows, columns]`: the part of `image` that `columns` and `rows` show, with black where they
  /// reach beyond it.
  ///
  /// The arithmetic, and where it rounds, is NumPy's: the product in double precision, then single
  /// precision throughout.  A channel has only 256 different values, so they are tabulated.
  private func normalized(
    _ image: RGBImage, columns: Range<Int>, rows: Range<Int>
  ) throws(InputError) -> [Float] {
    let means = try channels(mean, "mean").map { Float($0) }
    let deviations = try channels(standardDeviation, "standard deviation").map { Float($0) }
    let inside = columns.clamped(to: 0..<image.width)
    let before = inside.isEmpty ? 0 : inside.lowerBound - columns.lowerBound
    var values: [Float] = []
    values.reserveCapacity(3 * columns.count * rows.count)
    for channel in 0..<3 {
      let table = (0...255).map { sample in
        (Float(Double(sample) * rescaleFactor) - means[channel]) / deviations[channel]
      }
      for y in rows {
        guard (0..<image.height).contains(y) else {
          values.append(contentsOf: repeatElement(table[0], count: columns.count))
          continue
        }
        values.append(contentsOf: repeatElement(table[0], count: before))
        var source = 3 * (y * image.width + inside.lowerBound) + channel
        for _ in inside {
          values.append(table[Int(image.pixels[source])])
          source += 3
        }
        values.append(
          contentsOf: repeatElement(table[0], count: columns.count - before - inside.count))
      }
    }
    return values
  }

  /// `list`, which must have one entry per channel.
  private func channels<T>(_ list: [T], _ name: String) throws(InputError) -> [T] {
    guard list.count == 3 else {
      throw InputError(
        "", "the model's image steps give \(list.count) values of \(name); 3 expected")
    }
    return list
  }
}
