import Architecture
import TensorCore

extension ImageSteps {
  /// The steps of a CLIP image processor (`preprocessor_config.json`), with its own defaults.
  ///
  /// - Parameters:
  ///   - imageSize: side of the pixels that the vision tower takes; the steps must end there.
  ///   - padsToSquare: whether the model pads images to a square whatever the processor says.
  init(_ settings: Settings, imageSize: Int, padsToSquare: Bool) throws(InputError) {
    let constants = try settings.imageConstants()
    let processorPads = try settings.bool("do_pad", default: false)
    let pads = padsToSquare || processorPads

    let resize: Resize
    if !(try settings.bool("do_resize", default: true)) {
      guard !pads else { throw settings.error("do_resize", "is false, but images are padded") }
      resize = .none
    } else {
      switch (try settings.size(default: clipSize), pads) {
      case (.shortestEdge(let size), true), (.exact(let size), true):
        resize = .padSquare(size: size, color: try settings.paddingColor())
      case (let plain, _): resize = plain
      }
    }

    let cropSize =
      try settings.bool("do_center_crop", default: true)
      ? settings.square("crop_size", default: clipSize) : nil
    let resized: (side: Int?, isSquare: Bool) =
      switch resize {
      case .shortestEdge(let size): (size, false)
      case .padSquare(let size, _), .exact(let size): (size, true)
      case .none: (nil, false)
      }
    if let cropSize, let side = resized.side, side < cropSize {
      throw settings.error("crop_size", "is \(cropSize), more than the resized side of \(side)")
    }
    guard let finalSize = cropSize ?? (resized.isSquare ? resized.side : nil) else {
      throw settings.error("do_center_crop", "is false, so images would not end up square")
    }
    guard finalSize == imageSize else {
      throw settings.error(
        "images end up \(finalSize) pixels wide; the vision tower takes \(imageSize)")
    }

    self.init(
      resize: resize, filter: try settings.filter(), cropSize: cropSize,
      rescaleFactor: constants.factor, mean: constants.mean,
      standardDeviation: constants.deviation)
  }

  /// The steps of an image processor that cuts pictures into tiles.
  ///
  /// - Parameter vision: the tower, with the grids of the model's configuration.
  init(
    tiles settings: Settings, defaults: LlavaFamily.Tiling, vision: VisionConfiguration
  ) throws(InputError) {
    let constants = try settings.imageConstants()
    let side = vision.imageSize
    func check(_ key: String, _ found: Int) throws(InputError) {
      guard found == side else {
        throw settings.error(
          key, "makes tiles of \(found) pixels; the vision tower takes \(side)")
      }
    }
    switch try settings.size(default: defaults.size) {
    case .shortestEdge(let size), .exact(let size), .padSquare(let size, _):
      try check("size", size)
    case .none: break
    }
    if settings.has("crop_size") || defaults.cropSize != nil {
      try check("crop_size", try settings.square("crop_size", default: defaults.cropSize ?? side))
    }
    guard try settings.grids(defaults.grids, vision: vision) == vision.tiling?.grids else {
      throw settings.error(
        "image_grid_pinpoints", "differs from that of the model's configuration")
    }
    self.init(
      resize: .exact(size: side),
      resizeOfSeveral: defaults.isForOneImage
        ? .padSquare(size: side, color: try settings.paddingColor()) : nil,
      filter: try settings.filter(), cropSize: nil, rescaleFactor: constants.factor,
      mean: constants.mean, standardDeviation: constants.deviation)
  }
}

// What CLIP's processor assumes where the file is silent.
private let clipMean = [0.48145466, 0.4578275, 0.40821073]
private let clipStandardDeviation = [0.26862954, 0.26130258, 0.27577711]
private let clipSize = 224

extension Settings {
  private static let sides = 1...Limit.side

  /// Refuses an image processor that is not one of `family`.
  func checkImageProcessor(of family: LlavaFamily) throws(InputError) {
    let names = family.processors.flatMap { name in ["", "Fast", "Pil"].map { name + $0 } }
    for key in ["image_processor_type", "feature_extractor_type"] {
      _ = try choice(key, default: names[0], of: names.map { ($0, ()) })
    }
  }

  /// What is done to each value, with CLIP's own numbers where the file is silent.
  fileprivate func imageConstants() throws(InputError) -> (
    factor: Double, mean: [Double], deviation: [Double]
  ) {
    let mean = try imageMean()
    let deviation = try channels(
      "image_std", default: clipStandardDeviation, in: Limit.imageConstants)
    let factor = try number(
      self["rescale_factor"] ?? .number(1 / 255), "rescale_factor", in: Limit.imageConstants)
    let normalizes = try bool("do_normalize", default: true)
    return (
      try bool("do_rescale", default: true) ? factor : 1, normalizes ? mean : [0, 0, 0],
      normalizes ? deviation : [1, 1, 1]
    )
  }

  private func imageMean() throws(InputError) -> [Double] {
    let bound = Limit.imageConstants.upperBound
    return try channels("image_mean", default: clipMean, in: -bound...bound)
  }

  /// The mean as a colour, cut, not rounded, to whole steps of 255.
  fileprivate func paddingColor() throws(InputError) -> [Int] {
    let color = try imageMean().map { Int(($0 * 255).rounded(.towardZero)) }
    guard color.allSatisfy((0...255).contains) else {
      throw error("image_mean", "is outside 0...1, but images are padded with it")
    }
    return color
  }

  /// `size`: a number (the shorter side), `{shortest_edge}` or `{height, width}`.
  fileprivate func size(default fallback: Int) throws(InputError) -> ImageSteps.Resize {
    guard let value = self["size"], value.objectValue != nil else {
      return .shortestEdge(size: try integer("size", default: fallback, in: Self.sides))
    }
    guard let size = try section("size") else { return .shortestEdge(size: fallback) }
    if size.has("longest_edge") {
      throw size.error("longest_edge", "is not supported")
    }
    if let shortest = try size.integer("shortest_edge", in: Self.sides) {
      return .shortestEdge(size: shortest)
    }
    return .exact(size: try square("size", default: fallback))
  }

  /// The side of a square: a number or `{height, width}`.
  fileprivate func square(_ key: String, default fallback: Int) throws(InputError) -> Int {
    guard let value = self[key], value.objectValue != nil, let size = try section(key) else {
      return try integer(key, default: fallback, in: Self.sides)
    }
    guard let height = try size.integer("height", in: Self.sides),
      let width = try size.integer("width", in: Self.sides)
    else { throw error(key, "has no 'height' and 'width'") }
    guard height == width else {
      throw error(key, "is \(height) x \(width); only squares are supported")
    }
    return height
  }

  /// Three numbers, or one for all channels.
  fileprivate func channels(
    _ key: String, default fallback: [Double], in range: ClosedRange<Double>
  ) throws(InputError) -> [Double] {
    guard let value = self[key] else { return fallback }
    let items = value.arrayValue ?? [value, value, value]
    guard items.count == 3 else {
      throw error(key, "has \(items.count) numbers; 3 are expected")
    }
    var channels: [Double] = []
    for item in items { channels.append(try number(item, key, in: range)) }
    return channels
  }

  /// `resample`: a number of Pillow's list of filters.
  fileprivate func filter() throws(InputError) -> ImageSteps.Filter {
    let filters: [ImageSteps.Filter] = [.nearest, .lanczos, .bilinear, .bicubic]
    let number = try integer("resample", default: 3, in: 0...5)
    guard number < filters.count else {
      throw error("resample", "is \(number) (box or Hamming), which is not supported")
    }
    return filters[number]
  }
}
