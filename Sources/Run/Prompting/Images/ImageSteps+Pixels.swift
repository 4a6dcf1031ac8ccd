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
    let canvas =
      switch resize {
      case .padSquare(_, let color):
        Canvas(
          square: image,
          color: try channels(color, "padding colour").map { UInt8(clamping: $0) })
      case .shortestEdge, .exact, .none: Canvas(image)
      }
    let (width, height) = try targetSize(of: canvas)
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
    return PixelTensor(
      width: columns.count, height: rows.count,
      values: try normalized(
        visible, left: max(-columns.lowerBound, 0), top: max(-rows.lowerBound, 0),
        width: columns.count, height: rows.count))
  }

  /// The size of the whole resized canvas, before the crop.
  private func targetSize(of canvas: Canvas) throws(InputError) -> (width: Int, height: Int) {
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

  /// `[3, height, width]` with `visible` at (`left`, `top`) and black around it.
  ///
  /// The arithmetic, and where it rounds, is NumPy's: the product in double precision, then single
  /// precision throughout.  A channel has only 256 different values, so they are tabulated.
  private func normalized(
    _ visible: RGBImage, left: Int, top: Int, width: Int, height: Int
  ) throws(InputError) -> [Float] {
    let means = try channels(mean, "mean").map { Float($0) }
    let deviations = try channels(standardDeviation, "standard deviation").map { Float($0) }
    var values: [Float] = []
    values.reserveCapacity(3 * width * height)
    for channel in 0..<3 {
      let table = (0...255).map { sample in
        (Float(Double(sample) * rescaleFactor) - means[channel]) / deviations[channel]
      }
      for y in 0..<height {
        guard (top..<top + visible.height).contains(y) else {
          values.append(contentsOf: repeatElement(table[0], count: width))
          continue
        }
        values.append(contentsOf: repeatElement(table[0], count: left))
        var source = 3 * (y - top) * visible.width + channel
        for _ in 0..<visible.width {
          values.append(table[Int(visible.pixels[source])])
          source += 3
        }
        values.append(
          contentsOf: repeatElement(table[0], count: width - left - visible.width))
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
