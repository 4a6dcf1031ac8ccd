package import Architecture
import CImages

/// A picture laid on a larger one of a single colour, which is never made.
///
/// The padding of a 20,000 x 500 panorama to a square would take 1.2 GB; only the resized square
/// is wanted.
struct Canvas {
  let image: RGBImage
  let width: Int
  let height: Int
  /// Where the picture's first pixel lies; the picture lies inside the canvas.
  let left: Int
  let top: Int
  /// RGB.
  let color: [UInt8]

  /// The picture alone.
  init(_ image: RGBImage) {
    self.image = image
    width = image.width
    height = image.height
    left = 0
    top = 0
    color = [0, 0, 0]
  }

  /// The picture in the middle of the smallest square; half a pixel off goes to the upper left.
  init(square image: RGBImage, color: [UInt8]) {
    precondition(color.count == 3)
    let side = max(image.width, image.height)
    self.image = image
    width = side
    height = side
    left = (side - image.width) / 2
    top = (side - image.height) / 2
    self.color = color
  }

  /// Columns `columns` and rows `rows` of the canvas resized to `targetWidth` x `targetHeight`, as
  /// Pillow 13's `Image.resize` computes them.
  ///
  /// Each axis that changes is one pass, which rounds to 8 bits, so their order matters.
  ///
  /// - Precondition: both ranges lie inside the target and are not empty; the target of a padded
  ///   square is a square.
  func resized(
    targetWidth: Int, targetHeight: Int, filter: ImageSteps.Filter, columns: Range<Int>,
    rows: Range<Int>
  ) -> RGBImage {
    let kernel: ResampleKernel
    switch filter {
    case .nearest:
      return picked(
        columns: nearest(from: width, to: targetWidth, window: columns),
        rows: nearest(from: height, to: targetHeight, window: rows))
    case .bilinear: kernel = .bilinear
    case .bicubic: kernel = .bicubic
    case .lanczos: kernel = .lanczos
    }
    let across =
      targetWidth == width
      ? nil : ResampleAxis(from: width, to: targetWidth, window: columns, kernel: kernel)
    let down =
      targetHeight == height
      ? nil : ResampleAxis(from: height, to: targetHeight, window: rows, kernel: kernel)

    // Pillow goes down first if the height loses more than twice as many pixels as the width.
    let lostRows = height - targetHeight
    if let down, lostRows > 0, lostRows > 2 * (width - targetWidth) {
      precondition(image.width == width && image.height == height, "padded to no square")
      let lower = image.resampledDown(
        down, firstRow: down.samples.lowerBound, columns: across?.samples ?? columns)
      guard let across else { return lower }
      return Canvas(lower).resampledAcross(across, firstColumn: 0, rows: 0..<lower.height)
    }
    let sourceRows = down?.samples ?? rows
    let narrower =
      if let across {
        resampledAcross(across, firstColumn: across.samples.lowerBound, rows: sourceRows)
      } else {
        picked(columns: Array(columns), rows: Array(sourceRows))
      }
    guard let down else { return narrower }
    return narrower.resampledDown(down, firstRow: 0, columns: 0..<narrower.width)
  }

  /// The pixels at the crossings of `columns` and `rows`; black where an index is -1.
  private func picked(columns: [Int], rows: [Int]) -> RGBImage {
    var pixels: [UInt8] = []
    pixels.reserveCapacity(3 * columns.count * rows.count)
    for row in rows {
      for column in columns {
        let x = column - left
        let y = row - top
        if row < 0 || column < 0 {
          pixels.append(contentsOf: [0, 0, 0])
        } else if x >= 0, x < image.width, y >= 0, y < image.height {
          let start = 3 * (y * image.width + x)
          pixels.append(contentsOf: image.pixels[start..<start + 3])
        } else {
          pixels.append(contentsOf: color)
        }
      }
    }
    return RGBImage(width: columns.count, height: rows.count, pixels: pixels)
  }

  /// The horizontal pass over canvas rows `rows`: `[rows, axis outputs, 3]`.
  ///
  /// `firstColumn` is the canvas column of the axis's first sample.
  private func resampledAcross(
    _ axis: ResampleAxis, firstColumn: Int, rows: Range<Int>
  ) -> RGBImage {
    let outputs = axis.first.count
    let needed = firstColumn..<firstColumn + axis.samples.count
    let coveredColumns = needed.clamped(to: left..<left + image.width)
    let coveredRows = rows.clamped(to: top..<top + image.height)
    // The last outputs read all their taps, also those beyond the border, whose weight is 0.
    let stride = needed.count + axis.taps
    var samples: [Int16] = []
    for value in color { samples += repeatElement(Int16(value), count: stride) }
    let rowBytes = 3 * outputs
    let byteCount = rowBytes * rows.count
    let pixels = unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { memory, count in
      guard let start = memory.baseAddress else { return }
      unsafe samples.withUnsafeMutableBufferPointer { samples in
        guard let samples = samples.baseAddress else { return }
        func pass(_ row: Int) {
          unsafe vtw_resample_across(
            start + (row - rows.lowerBound) * rowBytes, samples, stride, axis.first, axis.high,
            axis.low, axis.taps, outputs)
        }
        // Rows without picture are all alike.
        var blank: Int?
        for row in rows where !coveredRows.contains(row) {
          if let blank {
            unsafe (start + (row - rows.lowerBound) * rowBytes).update(
              from: start + (blank - rows.lowerBound) * rowBytes, count: rowBytes)
          } else {
            pass(row)
            blank = row
          }
        }
        unsafe image.pixels.withUnsafeBufferPointer { source in
          guard let source = source.baseAddress else { return }
          for row in coveredRows {
            let pixel = (row - top) * image.width + coveredColumns.lowerBound - left
            unsafe vtw_split_channels(
              samples + (coveredColumns.lowerBound - firstColumn), source + 3 * pixel,
              coveredColumns.count, stride)
            pass(row)
          }
        }
      }
      count = byteCount
    }
    return RGBImage(width: outputs, height: rows.count, pixels: pixels)
  }
}

extension RGBImage {
  /// The picture at another size, as Pillow's `Image.resize` computes it.
  ///
  /// - Precondition: both sides are at least 1.
  package func resized(width: Int, height: Int, filter: ImageSteps.Filter) -> RGBImage {
    precondition(width > 0 && height > 0, "resize to \(width) x \(height)")
    return Canvas(self).resized(
      targetWidth: width, targetHeight: height, filter: filter, columns: 0..<width,
      rows: 0..<height)
  }

  /// The vertical pass over columns `columns`: `[axis outputs, columns, 3]`.
  ///
  /// `firstRow` is the row of the axis's first sample.
  fileprivate func resampledDown(
    _ axis: ResampleAxis, firstRow: Int, columns: Range<Int>
  ) -> RGBImage {
    let rowBytes = 3 * columns.count
    let stride = 3 * width
    let outputs = axis.first.count
    let byteCount = rowBytes * outputs
    let result = unsafe [UInt8](unsafeUninitializedCapacity: byteCount) { memory, count in
      unsafe pixels.withUnsafeBufferPointer { pixels in
        unsafe axis.high.withUnsafeBufferPointer { high in
          unsafe axis.low.withUnsafeBufferPointer { low in
            guard let out = memory.baseAddress, let pixels = pixels.baseAddress,
              let high = high.baseAddress, let low = low.baseAddress
            else { return }
            for output in 0..<outputs {
              let row = firstRow + Int(axis.first[output])
              unsafe vtw_resample_down(
                out + output * rowBytes, pixels + row * stride + 3 * columns.lowerBound, stride,
                rowBytes, high + output * axis.taps, low + output * axis.taps,
                min(axis.taps, height - row))
            }
          }
        }
      }
      count = byteCount
    }
    return RGBImage(width: columns.count, height: outputs, pixels: result)
  }
}

/// The source index of each output in the window; -1 where it falls off the end.
///
/// Pillow adds the step up instead of multiplying, so the sums' rounding errors are part of it.
private func nearest(from sourceCount: Int, to targetCount: Int, window: Range<Int>) -> [Int] {
  let step = Double(sourceCount) / Double(targetCount)
  var position = step * 0.5
  var indices: [Int] = []
  indices.reserveCapacity(window.count)
  for output in 0..<window.upperBound {
    if output >= window.lowerBound {
      indices.append(position < Double(sourceCount) ? Int(position) : -1)
    }
    position += step
  }
  return indices
}
