import Architecture
import TensorCore
import VTWMFile

/// Everything in a file as one JSON object.
enum InfoJSON {
  static func value(_ model: VTWMFile, isVerified: Bool) -> JSONValue {
    let text = model.configuration.text
    var object = JSONObject([
      ("file", .string(model.path)), ("bytes", .integer(model.byteCount)),
      ("content_id", .string(model.contentID)),
      ("family", .string(model.configuration.family)),
      ("name", .string(model.configuration.name)),
      (
        "decoder",
        [
          "layers": .integer(text.layerCount), "hidden_size": .integer(text.hiddenSize),
          "intermediate_size": .integer(text.intermediateSize), "heads": .integer(text.headCount),
          "key_value_heads": .integer(text.keyValueHeadCount),
          "head_dimension": .integer(text.headDimension),
          "vocabulary": .integer(text.vocabularySize), "context": .integer(text.contextLength),
        ]
      ),
    ])
    if let vision = model.configuration.vision {
      object["vision"] = [
        "layers": .integer(vision.layerCount), "hidden_size": .integer(vision.hiddenSize),
        "image_size": .integer(vision.imageSize), "patch_size": .integer(vision.patchSize),
        "rows_per_image": .integer(model.configuration.rowsOfLargestImage),
        "rows_per_tile": .integer(vision.rowsPerTile),
        "grids": .array(
          (vision.tiling?.grids ?? []).map { [.integer($0.columns), .integer($0.rows)] }),
      ]
    }
    object["k"] = .integer(
      model.schedule.profiles[model.schedule.defaultProfile].withdrawalLayer)
    object["profiles"] = .array(
      model.schedule.profiles.map { profile in
        let ratio = profile.costRatios(model.configuration, textRows: InfoPages.textRows)
        return [
          "name": .string(profile.name), "k": .integer(profile.withdrawalLayer),
          "flops_ratio": .number(ratio.operations), "kv_ratio": .number(ratio.keyValue),
          "schedule": profile.segmentsJSON,
        ]
      })
    object["layers"] = .array(
      model.layers.map { layer in
        ["truncated": .bool(layer.truncated), "kl": layer.kl.map { .number(Double($0)) } ?? .null]
      })
    object["tensors"] = .array(
      model.tensorInfos.map { info in
        [
          "name": .string(info.key.description), "encoding": .string(info.encoding.name),
          "shape": .array(info.shape.dimensions.map(JSONValue.integer)),
          "offset": .integer(info.byteRange.lowerBound), "bytes": .integer(info.byteRange.count),
        ]
      })
    if let calibration = model.calibration { object["calibration"] = calibration }
    if let provenance = model.provenance { object["provenance"] = provenance }
    if isVerified { object["verified"] = true }
    return .object(object)
  }
}
