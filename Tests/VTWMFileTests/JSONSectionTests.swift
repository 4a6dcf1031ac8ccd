import TensorCore
import Testing
import VTWMFile

/// Compression, and the sections that are JSON: MODL, IPRE, cHAt, cALB.
@Suite struct JSONSectionTests {
  let fixture: MalformedFixture

  init() throws { fixture = try MalformedFixture() }

  static let coldSections: [Malformed] = [
    Malformed("raw size one too small", says: "not a zlib stream of exactly") {
      $0["TOKN"].rawSize = $0["TOKN"].raw.count - 1
    },
    Malformed("raw size one too large", says: "not a zlib stream of exactly") {
      $0["TOKN"].rawSize = $0["TOKN"].raw.count + 1
    },
    Malformed("bytes after the stream", says: "not a zlib stream of exactly") {
      $0["TOKN"].stored = FileBytes.deflate($0["TOKN"].raw) + [0]
    },
    Malformed("stream cut", says: "not a zlib stream of exactly") {
      $0["TOKN"].stored = FileBytes.deflate($0["TOKN"].raw).dropLast()
    },
    Malformed("preset dictionary", says: "not a zlib stream of exactly") {
      // The flag that asks for a dictionary, with the check bits of RFC 1950 to fit.
      var stored = FileBytes.deflate($0["TOKN"].raw)
      stored.replaceSubrange(0..<2, with: [0x78, 0xBB, 0, 0, 0, 1])
      $0["TOKN"].stored = stored
    },
    Malformed("more than the limit", says: "more than the limit of 67108864") {
      let raw = [UInt8](repeating: 0, count: 80 << 20)
      $0["TOKN"].raw = raw
    },
    Malformed("JSON beyond its limit", says: "more than the limit of 16777216") {
      $0["cALB"].raw = [UInt8](repeating: 0x20, count: 17 << 20)
    },
    Malformed("duplicate key", says: "two members of the same key") {
      $0["MODL"].replace("\"format\":1", "\"format\":1,\"format\":1")
    },
    Malformed("too deep", says: "section cALB: not valid JSON") {
      $0["cALB"].raw = Array(
        ("{\"a\":" + String(repeating: "[", count: 33) + String(repeating: "]", count: 33) + "}")
          .utf8)
    },
    Malformed("number out of range", says: "1e400") {
      $0["MODL"].replace("\"theta\":500000.0", "\"theta\":1e400")
    },
    Malformed("number out of Float's range", says: "'text.rope.theta' is inf") {
      $0["MODL"].replace("\"theta\":500000.0", "\"theta\":1e300")
    },
    Malformed("unknown rule", says: "'must_understand' lists \"x\"") {
      $0["MODL"].replace("\"must_understand\":[]", "\"must_understand\":[\"x\"]")
    },
    Malformed("not UTF-8", says: "not UTF-8") {
      $0["MODL"].raw[($0["MODL"].raw.firstIndex(of: 0xF0) ?? 0) + 1] = 0xFF
    },
    Malformed("trailing comma", says: "section MODL: not valid JSON") {
      $0["MODL"].replace("[2,11]", "[2,11,]")
    },
    Malformed("not an object", says: "section MODL: is an array, not an object") {
      $0["MODL"].raw = Array("[]".utf8)
    },
  ]

  @Test(arguments: coldSections)
  func coldSectionIsRefused(_ malformed: Malformed) throws {
    try fixture.refuse(malformed)
  }

  static func model(_ old: String, _ new: String, says message: String) -> Malformed {
    Malformed("\(old) -> \(new)", says: message) { $0["MODL"].replace(old, new) }
  }

  static let models: [Malformed] = [
    model("\"format\":1", "\"format\":2", says: "'format' is 2; 1...1 expected"),
    model("\"format\":1,", "", says: "'format' is missing"),
    model("\"format\":1", "\"format\":1.0", says: "'format' is a number; an integer expected"),
    model("\"layers\":2", "\"layers\":0", says: "'text.layers' is 0; 1...1024 expected"),
    model(
      "\"layers\":2", "\"layers\":3", says: "has 52 tensors, but the model of section MODL needs 64"
    ),
    model("\"heads\":2,\"kv_heads\"", "\"heads\":0,\"kv_heads\"", says: "'text.heads' is 0"),
    model("\"kv_heads\":1", "\"kv_heads\":3", says: "'text.kv_heads' is 3; 1...2"),
    model("\"heads\":2,\"kv_heads\":1", "\"heads\":3,\"kv_heads\":2", says: "does not divide 3"),
    model("\"head_dim\":4", "\"head_dim\":5", says: "need an even number"),
    model("\"vocab\":34", "\"vocab\":33", says: "tensor 'text.embedding' is [34, 8]"),
    model("\"vocab\":34", "\"vocab\":2097153", says: "'text.vocab' is 2097153"),
    model("\"context\":64", "\"context\":0", says: "'text.context' is 0"),
    model("\"norm_eps\":1e-05", "\"norm_eps\":-1e-05", says: "'text.norm_eps' is -1e-05"),
    model("\"activation\":\"silu\"", "\"activation\":\"relu\"", says: "one of silu, gelu"),
    model("\"kind\":\"llama3\"", "\"kind\":\"yarn\"", says: "'text.rope.scaling.kind' is 'yarn'"),
    model("\"low\":1.0", "\"low\":4.0", says: "'text.rope.scaling.high' is 4.0, not more than"),
    model("\"qkv\":true", "\"qkv\":1", says: "'text.bias.qkv' is an integer; true or false"),
    model("\"end_of_text\":[2,11]", "\"end_of_text\":[2,34]", says: "'end_of_text' holds 34"),
    model("\"image_token\":12", "\"image_token\":35", says: "'image_token' is 35; 0...34"),
    model("\"image_token\":12,", "", says: "must be there together or not at all"),
    model("\"patch\":2", "\"patch\":0", says: "'vision.patch' is 0; 1...4 expected"),
    model("\"patch\":2", "\"patch\":5", says: "'vision.patch' is 5; 1...4 expected"),
    model("\"feature_layers\":[0,1]", "\"feature_layers\":[]", says: "has 0 items; 1...64"),
    model("\"feature_layers\":[0,1]", "\"feature_layers\":[2]", says: "holds 2; integers in 0...1"),
    model("\"image\":4", "\"image\":3", says: "tensor 'vision.positionEmbedding' is [5, 8]"),
    model("\"name\":\"tiny", "\"name\":\"\\u0000", says: "'name' holds a NUL"),
    Malformed("vision heads", says: "'vision.heads' is 3, which does not divide the width 8") {
      $0["MODL"].replace("\"heads\":2,\"image\"", "\"heads\":3,\"image\"")
    },
  ]

  @Test(arguments: models)
  func modelIsRefused(_ malformed: Malformed) throws { try fixture.refuse(malformed) }

  static func tiles(_ old: String, _ new: String, says message: String) -> Malformed {
    Malformed("\(old) -> \(new)", says: message) { file in
      let steps = String(decoding: file["IPRE"].raw, as: UTF8.self)
      file[steps.contains(old) ? "IPRE" : "MODL"].replace(old, new)
    }
  }

  static let tiledModels: [Malformed] = [
    tiles("[[1,1],[2,1],[3,2]]", "[]", says: "'vision.tiles.grids' has 0 items; 1...256"),
    tiles("[[1,1],[2,1],[3,2]]", "[[1]]", says: "pairs of columns and rows expected"),
    tiles("[[1,1],[2,1],[3,2]]", "[[1,2.0]]", says: "pairs of columns and rows expected"),
    tiles("[[1,1],[2,1],[3,2]]", "[3]", says: "holds an integer; pairs"),
    tiles("[3,2]", "[0,2]", says: "holds 0 x 2 tiles, which the limits of 256 tiles"),
    tiles("[3,2]", "[17,16]", says: "holds 17 x 16 tiles"),
    tiles("[3,2]", "[9223372036854775807,2]", says: "holds 9223372036854775807 x 2 tiles"),
    tiles("\"thin_above\":2", "\"thin_above\":0", says: "'vision.tiles.thin_above' is 0; 1...256"),
    tiles("\"class_row\":false", "\"class_row\":true", says: "a siglip tower has none"),
    tiles("\"kind\":\"siglip\"", "\"kind\":\"dino\"", says: "'vision.kind' is 'dino'"),
    tiles("\"kind\":\"siglip\"", "\"sort\":\"siglip\"", says: "tensors, but the model"),
    tiles("\"mode\":\"exact\"", "\"mode\":\"shortest_edge\"", says: "must be exact in a model"),
    tiles("\"filter\"", "\"crop\":4,\"filter\"", says: "'crop' is not for models with tiles"),
    tiles(
      "\"mode\":\"pad_square\",\"size\":4", "\"mode\":\"pad_square\",\"size\":5",
      says: "'several' gives 5 x 5 pixels"),
    tiles("[\"tiles\",", "[\"tiles\",\"x\",", says: "'must_understand' lists \"x\""),
  ]

  @Test(arguments: tiledModels)
  func tilesAreRefused(_ malformed: Malformed) throws {
    try MalformedFixture(TinyModel.tiled).refuse(malformed)
  }

  static let imageSteps: [Malformed] =
    [
      ("\"std\":[0.26862954", "\"std\":[0", "'std' holds 0.0"),
      ("\"mean\":[", "\"mean\":[0,", "'mean' has 4 items; 3...3"),
      ("\"mode\":\"pad_square\"", "\"mode\":\"tile\"", "'resize.mode' is 'tile'"),
      ("\"size\":4", "\"size\":0", "'resize.size' is 0"),
      ("\"size\":4", "\"size\":5", "gives 5 x 5 pixels; the vision tower takes 4"),
      ("\"filter\":", "\"crop\":3,\"filter\":", "'crop' gives 3 x 3 pixels"),
      ("122", "256", "'resize.color' holds 256"),
      ("\"filter\":\"bicubic\"", "\"filter\":\"box\"", "'filter' is 'box'"),
      ("\"rescale\":0.00392156862745098", "\"rescale\":0", "'rescale' is 0.0"),
      (
        "\"std\":", "\"several\":{\"mode\":\"none\"},\"std\":",
        "'several' is for models with tiles"
      ),
    ].map { old, new, message in
      Malformed("\(old) -> \(new)", says: message) { $0["IPRE"].replace(old, new) }
    } + [
      Malformed("absent", says: "section IPRE is missing, but the model has a vision tower") {
        $0.sections.removeAll { $0.type == "IPRE" }
      },
      Malformed("image text without placeholder", says: "does not hold the placeholder '<image>'") {
        $0["cHAt"].replace("<image>\\u000a", "an image")
      },
      Malformed("template without a part", says: "section cHAt: 'user_end' is missing") {
        $0["cHAt"].replace("\"user_end\":\"\"", "\"other\":\"\"")
      },
    ]

  @Test(arguments: imageSteps)
  func imageStepsOrTemplateAreRefused(_ malformed: Malformed) throws {
    try fixture.refuse(malformed)
  }
}
