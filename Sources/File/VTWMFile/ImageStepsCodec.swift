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
    func resize(_ mode: Mode, _ more: [(String, JSONValue)] = []) -> JSONValue {
      .object(JSONObject([("mode", .string(mode.rawValue))] + more))
    }
    let resizing: JSONValue
    switch steps.resize {
    case .shortestEdge(let size): resizing = resize(.shortestEdge, [("size", .integer(size))])
    case .padSquare(let size, let color):
      resizing = resize(
        .padSquare,
        [("size", .integer(size)), ("color", .array(color.map { .integer($0) }))])
    case .exact(let size): resizing = resize(.exact, [("size", .integer(size))])
    case .none: resizing = resize(.none)
    }
    var members: [(String, JSONValue)] = [
      ("resize", resizing),
      ("filter", .string(steps.filter.rawValue)),
      ("rescale", JSONValue(steps.rescaleFactor)),
      ("mean", .array(steps.mean.map { JSONValue($0) })),
      ("std", .array(steps.standardDeviation.map { JSONValue($0) })),
    ]
    if let size = steps.cropSize { members.append(("crop", .integer(size))) }
    return JSONValue.object(JSONObject(members)).canonicalBytes
  }

  static func decode(
    _ bytes: [UInt8], configuration: ModelConfiguration, file: String
  ) throws(InputError) -> ImageSteps {
    let fields = try JSONFields(parsing: bytes, section: .imageSteps, file: file)
    let sides = 1...VTWMLimits.imageSide
    let resize = try fields.fields("resize")
    let rule: ImageSteps.Resize
    /// Side of the square that resizing leaves, if it leaves one.
    var side: Int?
    switch try resize.choice("mode", Mode.self) {
    case .shortestEdge: rule = .shortestEdge(size: try resize.integer("size", in: sides))
    case .padSquare:
      let size = try resize.integer("size", in: sides)
      side = size
      rule = .padSquare(
        size: size, color: try resize.integers("color", count: 3...3, in: 0...255))
    case .exact:
      let size = try resize.integer("size", in: sides)
      side = size
      rule = .exact(size: size)
    case .none: rule = .none
    }
    let crop = fields.has("crop") ? try fields.integer("crop", in: sides) : nil
    if let vision = configuration.vision, let side = crop ?? side, side != vision.imageSize {
      throw fields.error(
        crop == nil ? "resize" : "crop",
        "gives \(side) x \(side) pixels; the vision tower takes \(vision.imageSize)")
    }
    return ImageSteps(
      resize: rule, filter: try fields.choice("filter"), cropSize: crop,
      rescaleFactor: try fields.double("rescale", in: 1e-9...1e9),
      mean: try fields.doubles("mean", count: 3...3, in: -1e9...1e9),
      standardDeviation: try fields.doubles("std", count: 3...3, in: 1e-9...1e9))
  }
}
