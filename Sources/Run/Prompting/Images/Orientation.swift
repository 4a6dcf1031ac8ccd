import CImages

/// How the stored rows of a picture must be turned to stand upright (EXIF tag 0x0112).
enum Orientation: Int, CaseIterable {
  case upright = 1
  case mirrored
  case halfTurn
  case flipped
  case transposed
  case quarterTurnClockwise
  case transversed
  case quarterTurnCounterclockwise

  /// Whether width and height change places.
  var swapsSides: Bool { rawValue >= Orientation.transposed.rawValue }

  /// What the metadata of an image file say; `upright` if they say nothing sensible.
  ///
  /// EXIF is asked first and XMP only where EXIF has no such tag, as Pillow does.
  init(of file: [UInt8], _ format: ImageFormat) {
    let metadata = ImageMetadata(of: file, format)
    let value = metadata.exif.flatMap(orientationInEXIF) ?? metadata.xmp.flatMap(orientationInXMP)
    self = value.flatMap(Orientation.init(rawValue:)) ?? .upright
  }
}

extension RGBImage {
  /// The picture turned upright, given how it is stored.
  func upright(from orientation: Orientation) -> RGBImage {
    if orientation == .upright { return self }
    let turned = unsafe [UInt8](unsafeUninitializedCapacity: pixels.count) { memory, count in
      guard let start = memory.baseAddress else { return }
      unsafe vtw_orient(start, pixels, width, height, Int32(orientation.rawValue))
      count = pixels.count
    }
    return orientation.swapsSides
      ? RGBImage(width: height, height: width, pixels: turned)
      : RGBImage(width: width, height: height, pixels: turned)
  }
}
