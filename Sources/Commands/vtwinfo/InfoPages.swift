import Architecture
import CommandSupport
import TensorCore
import VTWMFile

/// The pages that vtwinfo prints for people.
enum InfoPages {
  // Reports count a prompt of one image and this many text rows.
  static let textRows = 64

  static func overview(_ model: VTWMFile) -> String {
    let configuration = model.configuration
    let text = configuration.text
    var page = """
      \(printable(model.path)): \(byteText(model.byteCount))
      model      \(printable(configuration.name)) (\(printable(configuration.family)))
      decoder    \(text.layerCount) layers, hidden size \(text.hiddenSize), \
      \(text.headCount) heads, \(text.keyValueHeadCount) key-value heads x \
      \(text.headDimension), feed-forward \(text.intermediateSize), vocabulary \
      \(text.vocabularySize), context \(text.contextLength)

      """
    if let vision = configuration.vision {
      page += "vision     \(vision.layerCount) layers, hidden size \(vision.hiddenSize), "
      page += "\(vision.imageSize) pixels in patches of \(vision.patchSize): "
      page += "\(vision.rowsPerTile) rows per \(vision.tiling == nil ? "image" : "tile")\n"
      if let tiling = vision.tiling {
        let most = tiling.grids.map(\.tileCount).max() ?? 0
        page += "tiles      one of the whole image and up to \(most) in one of "
        page += "\(tiling.grids.count) grids: up to \(configuration.rowsOfLargestImage) rows\n"
      }
    } else {
      page += "vision     none\n"
    }
    page += "weights    \(encodings(model))\n"
    page += "tokenizer  \(model.tokenizer.pieces.count) pieces, template "
    page += "\(printable(model.template.name))\n"
    for (index, profile) in model.schedule.profiles.enumerated() {
      let ratio = profile.costRatios(configuration, textRows: textRows)
      let mark = index == model.schedule.defaultProfile ? "profile    " : "           "
      page += "\(mark)\(profile.bar) \(printable(profile.name)): \(profile.summary); "
      page += "prefill \(fixed(100 * ratio.operations, 0)) % of the FLOPs, "
      page +=
        "KV cache \(fixed(100 * ratio.keyValue, 0)) % (\(image(configuration)), \(textRows) text rows)"
      page += "\(CalibrationPage.quality(profile, model))\n"
    }
    page += "           a mark for each layer: \(legend)\n"
    page += model.calibration == nil ? "calibrated no\n" : "calibrated yes: see --calibration\n"
    page += "content id \(model.contentID)\n"
    return page
  }

  /// The image that reports count with.
  private static func image(_ configuration: ModelConfiguration) -> String {
    configuration.vision?.tiling == nil
      ? "1 image" : "1 image of \(configuration.rowsOfLargestImage) rows"
  }

  static func plan(_ model: VTWMFile) -> String {
    var page = ""
    for profile in model.schedule.profiles {
      page += "profile \(printable(profile.name)), K = \(profile.withdrawalLayer)\n"
      for segment in profile.segments {
        let classes = TokenClass.allCases.filter { segment.classes.contains($0) }
        let frozen = TokenClass.allCases.filter { segment.frozen.contains($0) }
        page += "  layers \(segment.layers.lowerBound)..<\(segment.layers.upperBound): "
        page += classes.map(\.name).joined(separator: ", ")
        if !frozen.isEmpty { page += "; frozen: " + frozen.map(\.name).joined(separator: ", ") }
        page += "\n"
      }
      let ratio = profile.costRatios(model.configuration, textRows: textRows)
      page += "  \(profile.bar)  \(legend)\n"
      page += "  prefill \(fixed(100 * ratio.operations, 1)) % of the FLOPs, keys and values "
      page += "\(fixed(100 * ratio.keyValue, 1)) %, \(byteText(keyValueBytes(profile, model)))\n"
    }
    for candidate in model.schedule.candidates {
      page += "eta \(candidate.eta): K = \(candidate.withdrawalLayer), mean KL "
      page += "\(fixed(Double(candidate.meanKL), 5)), agreement "
      page += "\(fixed(100 * Double(candidate.agreement), 1)) %, "
      page += "\(candidate.sampleCount) samples\n"
    }
    return page
  }

  static func tensors(_ model: VTWMFile) -> String {
    let errors = model.provenance?["errors"]
    return model.tensorInfos.map { info in
      let shape = info.shape.description
      let error = errors?[info.key.description]?.doubleValue.map {
        "  error \(fixed(100 * $0, 3)) %"
      }
      return "\(info.key)  \(shape)  \(info.encoding.name) from \(info.sourceType)  "
        + "\(info.byteRange.count) bytes at \(info.byteRange.lowerBound)\(error ?? "")\n"
    }.joined()
  }

  /// What the marks of a bar stand for.
  private static let legend =
    "visual rows "
    + ScheduleProfile.VisualState.allCases.map { "\($0.mark) \($0.name)" }
    .joined(separator: "  ")

  /// Bytes of keys and values of a prompt with one image.
  private static func keyValueBytes(_ profile: ScheduleProfile, _ model: VTWMFile) -> Int {
    let configuration = model.configuration
    let cost = ScheduleCost(
      profile, text: configuration.text, textRows: textRows,
      visualRows: configuration.rowsOfLargestImage)
    let row = 2 * configuration.text.keyValueWidth * model.keyValuePrecision.byteCount
    return cost.keyValueRows * row
  }

  /// Bytes by encoding.
  private static func encodings(_ model: VTWMFile) -> String {
    var bytes: [Encoding: Int] = [:]
    for info in model.tensorInfos { bytes[info.encoding, default: 0] += info.byteRange.count }
    return Encoding.allCases.compactMap { encoding in
      bytes[encoding].map { "\(encoding.name) \(byteText($0))" }
    }.joined(separator: ", ")
  }
}
