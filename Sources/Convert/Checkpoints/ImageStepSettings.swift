import Architecture
import TensorCore

extension ImageSteps {
  /// The steps of a CLIP image processor (`preprocessor_config.json`), with its own defaults.
  ///
  /// - Parameters:
  ///   - imageSize: side of the pixels that the vision tower takes; the steps must end there.
  ///   - padsToSquare: whether the model pads images to a square whatever the processor says.
  init(_ settings: Settings, imageSize: Int, padsToSquare: Bool) throws(InputError) {
    for key in ["image_processor_type", "feature_extractor_type"] {
      _ = try settings.choice(key, default: "CLIPImageProcessor", of: processorNames)
    }
    let bound = Limit.imageConstants.upperBound
    let mean = try settings.channels("image_mean", default: clipMean, in: -bound...bound)
    let deviation = try settings.channels(
      "image_std", default: clipStandardDeviation, in: Limit.imageConstants)
    let processorPads = try settings.bool("do_pad", default: false)
    let pads = padsToSquare || processorPads

    let resize: Resize
    if !(try settings.bool("do_resize", default: true)) {
      guard !pads else { throw settings.error("do_resize", "is false, but images are padded") }
      resize = .none
    } else {
      switch (try settings.size(), pads) {
      case (.shortestEdge(let size), true), (.exact(let size), true):
        // The colour is cut, not rounded, to whole steps of 255.
        let color = mean.map { Int(($0 * 255).rounded(.towardZero)) }
        guard color.allSatisfy((0...255).contains) else {
          throw settings.error("image_mean", "is outside 0...1, but images are padded with it")
        }
        resize = .padSquare(size: size, color: color)
      case (let plain, _): resize = plain
      }
    }

    let cropSize =
      try settings.bool("do_center_crop", default: true) ? settings.square("crop_size") : nil
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

    let normalizes = try settings.bool("do_normalize", default: true)
    let factor = try settings.number(
      settings["rescale_factor"] ?? .number(1 / 255), "rescale_factor", in: Limit.imageConstants)
    self.init(
      resize: resize, filter: try settings.filter(), cropSize: cropSize,
      rescaleFactor: try settings.bool("do_rescale", default: true) ? factor : 1,
      mean: normalizes ? mean : [0, 0, 0],
      standardDeviation: normalizes ? deviation : [1, 1, 1])
  }
}

/// Processors whose steps are those of CLIP; LLaVA's adds padding.
private let processorNames: [(String, Void)] = [
  ("CLIPImageProcessor", ()), ("CLIPImageProcessorFast", ()), ("CLIPImageProcessorPil", ()),
  ("CLIPFeatureExtractor", ()), ("LlavaImageProcessor", ()), ("LlavaImageProcessorFast", ()),
  ("LlavaImageProcessorPil", ()),
]

// What CLIP's processor assumes where the file is silent.
private let clipMean = [0.48145466, 0.4578275, 0.40821073]
private let clipStandardDeviation = [0.26862954, 0.26130258, 0.27577711]
private let clipSize = 224

extension Settings {
  private static let sides = 1...Limit.side

  /// `size`: a number (the shorter side), `{shortest_edge}` or `{height, width}`.
  fileprivate func size() throws(InputError) -> ImageSteps.Resize {
    guard let value = self["size"], value.objectValue != nil else {
      return .shortestEdge(size: try integer("size", default: clipSize, in: Self.sides))
    }
    guard let size = try section("size") else { return .shortestEdge(size: clipSize) }
    if size.has("longest_edge") {
      throw size.error("longest_edge", "is not supported")
    }
    if let shortest = try size.integer("shortest_edge", in: Self.sides) {
      return .shortestEdge(size: shortest)
    }
    return .exact(size: try square("size"))
  }

  /// The side of a square: a number or `{height, width}`.
  fileprivate func square(_ key: String) throws(InputError) -> Int {
    guard let value = self[key], value.objectValue != nil, let size = try section(key) else {
      return try integer(key, default: clipSize, in: Self.sides)
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
