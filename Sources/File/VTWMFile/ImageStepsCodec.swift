import Architecture
import TensorCore

/// Section IPRE: how pixels become the vision tower's input, as JSON.
enum ImageStepsCodec {
  private enum Mode: String, CaseIterable {
    case shortestEdge = "shortest_edge"
    case padSquare = "pad_square"
    case exact, none
  }

  static func encode(_ steps: ImageSteps) -> [UInt8] {
    var members: [(String, JSONValue)] = [
      ("resize", encode(steps.resize)),
      ("filter", .string(steps.filter.rawValue)),
      ("rescale", JSONValue(steps.rescaleFactor)),
      ("mean", .array(steps.mean.map { JSONValue($0) })),
      ("std", .array(steps.standardDeviation.map { JSONValue($0) })),
    ]
    if let size = steps.cropSize { members.append(("crop", .integer(size))) }
    if let resize = steps.resizeOfSeveral { members.append(("several", encode(resize))) }
    return JSONValue.object(JSONObject(members)).canonicalBytes
  }

  private static func encode(_ resize: ImageSteps.Resize) -> JSONValue {
    func object(_ mode: Mode, _ more: [(String, JSONValue)] = []) -> JSONValue {
      .object(JSONObject([("mode", .string(mode.rawValue))] + more))
    }
    switch resize {
    case .shortestEdge(let size): return object(.shortestEdge, [("size", .integer(size))])
    case .padSquare(let size, let color):
      return object(
        .padSquare, [("size", .integer(size)), ("color", .array(color.map { .integer($0) }))])
    case .exact(let size): return object(.exact, [("size", .integer(size))])
    case .none: return object(.none)
    }
  }

  static func decode(
    _ bytes: [UInt8], configuration: ModelConfiguration, file: String
  ) throws(InputError) -> ImageSteps {
    let fields = try JSONFields(parsing: bytes, section: .imageSteps, file: file)
    let crop =
      fields.has("crop") ? try fields.integer("crop", in: 1...VTWMLimits.imageSide) : nil
    /// Checks what a rule leaves, where that is one size whatever the image's.
    func rule(_ key: String) throws(InputError) -> ImageSteps.Resize {
      let (rule, side) = try decodeResize(try fields.fields(key))
      if let vision = configuration.vision, let side = crop ?? side, side != vision.imageSize {
        throw fields.error(
          crop == nil ? key : "crop",
          "gives \(side) x \(side) pixels; the vision tower takes \(vision.imageSize)")
      }
      return rule
    }
    let resize = try rule("resize")
    let several = fields.has("several") ? try rule("several") : nil
    if configuration.vision?.tiling == nil {
      guard several == nil else {
        throw fields.error("several", "is for models with tiles")
      }
    } else if case .exact = resize {
      guard crop == nil else { throw fields.error("crop", "is not for models with tiles") }
    } else {
      throw fields.error("resize.mode", "must be exact in a model with tiles")
    }
    return ImageSteps(
      resize: resize, resizeOfSeveral: several, filter: try fields.choice("filter"), cropSize: crop,
      rescaleFactor: try fields.double("rescale", in: 1e-9...1e9),
      mean: try fields.doubles("mean", count: 3...3, in: -1e9...1e9),
      standardDeviation: try fields.doubles("std", count: 3...3, in: 1e-9...1e9))
  }

  /// A rule, and the side of the square that it leaves, if it leaves one.
  private static func decodeResize(
    _ fields: JSONFields
  ) throws(InputError) -> (rule: ImageSteps.Resize, side: Int?) {
    let mode = try fields.choice("mode", Mode.self)
    if mode == .none { return (.none, nil) }
    let size = try fields.integer("size", in: 1...VTWMLimits.imageSide)
    switch mode {
    case .shortestEdge: return (.shortestEdge(size: size), nil)
    case .padSquare:
      let color = try fields.integers("color", count: 3...3, in: 0...255)
      return (.padSquare(size: size, color: color), size)
    case .exact, .none: return (.exact(size: size), size)
    }
  }
}
