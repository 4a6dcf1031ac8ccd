import Architecture
import TensorCore
import Testing
import VTWMFile

/// One way to be wrong: a change to the visual model's file, and what the error must say.
struct Malformed: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let message: String
  let edit: @Sendable (inout FileBytes) -> Void

  init(
    _ description: String, says message: String, _ edit: @escaping @Sendable (inout FileBytes) -> Void
  ) {
    testDescription = description
    self.message = message
    self.edit = edit
  }
}

/// The same with a change to the bytes themselves.
struct Misframed: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let message: String
  let edit: @Sendable (inout [UInt8]) -> Void

  /// - Parameter reseal: whether checksums and content id are made to fit the change.
  init(
    _ description: String, says message: String, reseal: Bool = true,
    _ edit: @escaping @Sendable (inout [UInt8]) -> Void
  ) {
    testDescription = description
    self.message = message
    self.edit = { bytes in
      edit(&bytes)
      if reseal { FileBytes.reseal(&bytes) }
    }
  }
}

@Suite struct MalformedFileTests {
  let folder: TemporaryFolder
  let original: [UInt8]

  init() throws {
    folder = try TemporaryFolder()
    try TinyModel.writeVisual(at: folder.file("original.vtwm"))
    original = try folder.read("original.vtwm")
  }

  /// The error's text when the bytes are opened; nil if they open.
  private func problem(_ bytes: [UInt8], verifying: Bool = false) throws -> String? {
    let path = try folder.write(bytes, as: "changed.vtwm")
    do {
      let file = try VTWMFile(opening: path)
      if verifying { try file.verify() }
      return nil
    } catch {
      #expect(error.file == path)
      #expect(!error.description.contains("\n"))
      return error.problem
    }
  }

  private func expectRefusal(
    _ bytes: [UInt8], _ message: String, verifying: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let problem = try problem(bytes, verifying: verifying)
    #expect(problem?.contains(message) == true, "\(problem ?? "opened")", sourceLocation: sourceLocation)
  }

  @Test func unchangedPartsPutTogetherAgainAreTheSameFile() throws {
    #expect(try FileBytes(original).bytes == original)
  }

  // MARK: Framing

  static let framing: [Misframed] = [
    Misframed("magic byte flipped", says: "not a .vtwm file", reseal: false) { $0[1] ^= 1 },
    Misframed("line ends turned", says: "text mode", reseal: false) { $0.remove(at: 4) },
    Misframed("high bit lost", says: "text mode", reseal: false) { $0[0] &= 0x7F },
    Misframed("gzip", says: "not a .vtwm file (its first bytes are 1f8b", reseal: false) {
      $0.replaceSubrange(0..<2, with: [0x1F, 0x8B])
    },
    Misframed("stated size one more", says: "the copy is incomplete") {
      FileBytes.put(&$0, 16, UInt64($0.count + 1))
    },
    Misframed("stated size one less", says: "something was appended") {
      FileBytes.put(&$0, 16, UInt64($0.count - 1))
    },
    Misframed("a byte appended", says: "something was appended", reseal: false) { $0.append(0) },
    Misframed("an archive appended", says: "something was appended", reseal: false) {
      $0 += [0x50, 0x4B, 0x05, 0x06] + [UInt8](repeating: 0, count: 18)
    },
    Misframed("header checksum", says: "header: checksum is wrong", reseal: false) {
      $0[124] ^= 1
    },
    Misframed("major 2", says: "format version 2; this build reads version 1 (a newer") {
      $0[8] = 2
    },
    Misframed("major 0", says: "format version 0") { $0[8] = 0 },
    Misframed("header size", says: "its size is 129") { $0[12] = 129 },
    Misframed("unknown feature", says: "needs feature 40") {
      FileBytes.put(&$0, 24, UInt64(1) << 40)
    },
    Misframed("reserved byte of the header", says: "reserved byte is not zero") { $0[100] = 1 },
    Misframed("no sections", says: "0 sections", reseal: false) {
      FileBytes.put(&$0, 48, UInt32(0))
      FileBytes.put(&$0, 124, CRC32(of: Array($0[..<124])).value)
    },
    Misframed("2^32 - 1 sections", says: "4294967295 sections", reseal: false) {
      FileBytes.put(&$0, 48, UInt32.max)
      FileBytes.put(&$0, 124, CRC32(of: Array($0[..<124])).value)
    },
    Misframed("entries of 72 bytes", says: "section entries have 72 bytes") { $0[52] = 72 },
    Misframed("table at 2^63", says: "the section table starts at byte 9223372036854775808") {
      FileBytes.put(&$0, 40, UInt64(1) << 63)
    },
    Misframed("table checksum", says: "section table: checksum is wrong", reseal: false) {
      $0[120] ^= 1
      FileBytes.put(&$0, 124, CRC32(of: Array($0[..<124])).value)
    },
    Misframed("content id", says: "content id does not fit", reseal: false) {
      $0[64] ^= 1
      FileBytes.put(&$0, 124, CRC32(of: Array($0[..<124])).value)
    },
    Misframed("page of 12288", says: "page size 12288") { FileBytes.put(&$0, 56, UInt32(12288)) },
    Misframed("page of 2048", says: "page size 2048") { FileBytes.put(&$0, 56, UInt32(2048)) },
    Misframed("tensor alignment 32", says: "tensor alignment 32") { $0[60] = 32 },
    Misframed("tensor alignment 96", says: "tensor alignment 96") { $0[60] = 96 },
    Misframed("entries unsorted", says: "section TDIR: starts at byte") {
      let first = Array($0[128..<208])
      $0.replaceSubrange(128..<208, with: $0[208..<288])
      $0.replaceSubrange(208..<288, with: first)
    },
    Misframed("overlap by one", says: "sections lie back to back") { bytes in
      bytes[entry(1) + 8] &-= 1
    },
    Misframed("hole of 64", says: "sections lie back to back") { bytes in
      FileBytes.put(
        &bytes, entry(1) + 8,
        UInt64(FileBytes.integer(bytes, at: entry(1) + 8, size: 8) + 64))
    },
    Misframed("offset and size wrap", says: "is too large") { bytes in
      FileBytes.put(&bytes, entry(1) + 16, UInt64.max - 100)
      FileBytes.put(&bytes, entry(1) + 24, UInt64.max - 100)
    },
    Misframed("size beyond the file", says: "do not fit the file") { bytes in
      FileBytes.put(&bytes, entry(1) + 16, UInt64(1) << 62)
      FileBytes.put(&bytes, entry(1) + 24, UInt64(1) << 62)
    },
    Misframed("off its alignment", says: "sections lie back to back") { $0[entry(1) + 36] = 12 },
    Misframed("alignment 2^63", says: "alignment 2^63") { $0[entry(1) + 36] = 63 },
    Misframed("alignment 2^2", says: "alignment 2^2") { $0[entry(1) + 36] = 2 },
    Misframed("weights off the page", says: "less than the page size") { $0[entry(6) + 36] = 11 },
    Misframed("type with a digit", says: "not four letters") { $0[entry(0)] = 0x31 },
    Misframed("third letter in lower case", says: "not four letters") { $0[entry(0) + 2] |= 0x20 },
    Misframed("unknown critical section", says: "section ZZZZ is needed") { bytes in
      bytes.replaceSubrange(entry(0)..<entry(0) + 4, with: "ZZZZ".utf8)
    },
    Misframed("plan missing", says: "section PLAN is missing") { bytes in
      bytes.replaceSubrange(entry(3)..<entry(3) + 4, with: "zAAA".utf8)
    },
    Misframed("plan twice", says: "section PLAN: stands twice") { bytes in
      bytes.replaceSubrange(entry(2)..<entry(2) + 4, with: "PLAN".utf8)
    },
    Misframed("instance of a plan", says: "instance 1; only weights") { $0[entry(3) + 4] = 1 },
    Misframed("weights misnumbered", says: "section WGTS 7 stands where section WGTS 0 must") {
      $0[entry(5) + 4] = 7
    },
    Misframed("codec 2", says: "codec 2 is not known") { $0[entry(0) + 6] = 2 },
    Misframed("content kind 3", says: "content kind 3") { $0[entry(0) + 7] = 3 },
    Misframed("plan as JSON", says: "section PLAN: content kind 1") { $0[entry(3) + 7] = 1 },
    Misframed("compressed weights", says: "must not be compressed") { $0[entry(5) + 6] = 1 },
    Misframed("stored size and raw size differ", says: "bytes stored plainly cannot hold") {
      $0[entry(0) + 24] ^= 1
    },
    Misframed("raw size beyond the ratio", says: "compressed bytes cannot hold") { bytes in
      FileBytes.put(&bytes, entry(11) + 24, UInt64(64) << 30)
    },
    Misframed("reserved byte of an entry", says: "reserved byte is not zero") {
      $0[entry(0) + 37] = 1
    },
    Misframed("reserved end of an entry", says: "reserved byte is not zero") {
      $0[entry(0) + 79] = 1
    },
    Misframed("padding before the weights", says: "is padding, but not zero", reseal: false) {
      bytes in
      bytes[FileBytes.integer(bytes, at: entry(5) + 8, size: 8) - 1] = 1
    },
    Misframed("section checksum", says: "section MODL: checksum is wrong") { bytes in
      bytes[entry(0) + 32] ^= 1
    },
  ]

  /// Where entry `index` of the section table starts: MODL TDIR LAYR PLAN IPRE WGTS... TOKN.
  static func entry(_ index: Int) -> Int { 128 + 80 * index }

  @Test(arguments: framing)
  func framingIsRefused(_ malformed: Misframed) throws {
    var bytes = original
    malformed.edit(&bytes)
    try expectRefusal(bytes, malformed.message)
  }

  @Test func emptyAndTinyFilesAreRefused() throws {
    try expectRefusal([], "is empty")
    try expectRefusal(Array(original[..<127]), "has 127 bytes")
  }

  @Test func laterMinorVersionsAndOptionalFeaturesOpen() throws {
    var bytes = original
    bytes[10] = 7
    FileBytes.put(&bytes, 32, UInt64(1) << 40)
    FileBytes.reseal(&bytes)
    #expect(try problem(bytes, verifying: true) == nil)
  }

  @Test func unknownAncillarySectionIsSkippedButMustBeWhole() throws {
    var file = try FileBytes(original)
    file.sections.append(
      FileBytes.Section(
        identity: Array("qRST".utf8) + [9, 0, 0, 0], alignment: 3, raw: [1, 2, 3, 4, 5]))
    var bytes = file.bytes
    #expect(try problem(bytes, verifying: true) == nil)
    bytes[bytes.count - 1] ^= 1
    try expectRefusal(bytes, "section qRST: checksum is wrong")
  }

  @Test func optionalSectionsMayBeAbsent() throws {
    var file = try FileBytes(original)
    let before = try VTWMFile(opening: folder.file("original.vtwm"))
    file.sections.removeAll { ["cHAt", "cALB", "pROV"].contains($0.type) }
    let path = try folder.write(file.bytes, as: "bare.vtwm")
    let bare = try VTWMFile(opening: path)
    #expect(bare.template.name == "plain")
    #expect(bare.calibration == nil && bare.provenance == nil)
    #expect(bare.contentID == before.contentID)
  }

  @Test func sectionsMayStandInAnyOrder() throws {
    var file = try FileBytes(original)
    file.sections.insert(file.sections.removeLast(), at: 0)
    let tokenizer = file.sections.firstIndex { $0.type == "TOKN" } ?? 0
    file.sections.insert(file.sections.remove(at: tokenizer), at: 0)
    #expect(try problem(file.bytes, verifying: true) == nil)
  }

  @Test func recordsMayGrow() throws {
    var file = try FileBytes(original)
    file["TDIR"].raw = Self.grown(file["TDIR"].raw, header: 32, entry: 64)
    FileBytes.put(
      &file["TDIR"].raw, 8, UInt64(32 + 72 * file["TDIR"].integer(0, size: 4)))
    file["LAYR"].raw = Self.grown(file["LAYR"].raw, header: 16, entry: 32)
    #expect(try problem(file.bytes, verifying: true) == nil)
  }

  /// Makes every record 8 bytes longer, as a later minor version would.
  private static func grown(_ table: [UInt8], header: Int, entry: Int) -> [UInt8] {
    let count = FileBytes.integer(table, at: 0, size: 4)
    var result = Array(table[..<header])
    FileBytes.put(&result, 4, UInt32(entry + 8))
    for index in 0..<count {
      result += table[header + entry * index..<header + entry * (index + 1)]
      result += [1, 2, 3, 4, 5, 6, 7, 8]
    }
    return result + table[(header + entry * count)...]
  }

  // MARK: Compression and JSON

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
    try refuse(malformed)
  }

  private func refuse(_ malformed: Malformed, verifying: Bool = false) throws {
    var file = try FileBytes(original)
    malformed.edit(&file)
    try expectRefusal(file.bytes, malformed.message, verifying: verifying)
  }

  // MARK: MODL, IPRE, cHAt

  static func model(_ old: String, _ new: String, says message: String) -> Malformed {
    Malformed("\(old) -> \(new)", says: message) { $0["MODL"].replace(old, new) }
  }

  static let models: [Malformed] = [
    model("\"format\":1", "\"format\":2", says: "'format' is 2; 1...1 expected"),
    model("\"format\":1,", "", says: "'format' is missing"),
    model("\"format\":1", "\"format\":1.0", says: "'format' is a number; an integer expected"),
    model("\"layers\":2", "\"layers\":0", says: "'text.layers' is 0; 1...1024 expected"),
    model("\"layers\":2", "\"layers\":3", says: "has 52 tensors, but the model of section MODL needs 64"),
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
  func modelIsRefused(_ malformed: Malformed) throws { try refuse(malformed) }

  static let imageSteps: [Malformed] = [
    ("\"std\":[0.26862954", "\"std\":[0", "'std' holds 0.0"),
    ("\"mean\":[", "\"mean\":[0,", "'mean' has 4 items; 3...3"),
    ("\"mode\":\"pad_square\"", "\"mode\":\"tile\"", "'resize.mode' is 'tile'"),
    ("\"size\":4", "\"size\":0", "'resize.size' is 0"),
    ("\"size\":4", "\"size\":5", "gives 5 x 5 pixels; the vision tower takes 4"),
    ("\"filter\":", "\"crop\":3,\"filter\":", "'crop' gives 3 x 3 pixels"),
    ("122", "256", "'resize.color' holds 256"),
    ("\"filter\":\"bicubic\"", "\"filter\":\"box\"", "'filter' is 'box'"),
    ("\"rescale\":0.00392156862745098", "\"rescale\":0", "'rescale' is 0.0"),
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
  func imageStepsOrTemplateAreRefused(_ malformed: Malformed) throws { try refuse(malformed) }

  // MARK: TDIR

  /// Where a field of tensor `index` lies in section TDIR.
  static func tensor(_ index: Int, _ field: Int) -> Int { 32 + 64 * index + field }

  /// The decoder's first query matrix: q8 [8, 8], one tile of 1088 bytes.
  static let query = 27

  static let directories: [Malformed] = [
    Malformed("count 2^32 - 1", says: "4294967295 tensors; at most 65536") {
      $0["TDIR"].put(0, UInt32.max)
    },
    Malformed("one tensor more", says: "names start at byte") {
      $0["TDIR"].put(0, UInt32($0["TDIR"].integer(0, size: 4) + 1))
    },
    Malformed("short entries", says: "entries of 56 bytes") { $0["TDIR"].put(4, UInt32(56)) },
    Malformed("names elsewhere", says: "names start at byte") { $0["TDIR"].put(8, UInt64.max) },
    Malformed("more names", says: "needs") {
      $0["TDIR"].put(16, UInt32($0["TDIR"].integer(16, size: 4) + 1))
    },
    Malformed("reserved", says: "reserved byte is not zero") { $0["TDIR"].raw[20] = 1 },
    Malformed("name outside", says: "names lie back to back") {
      $0["TDIR"].put(tensor(0, 0), UInt32.max)
    },
    Malformed("name empty", says: "names lie back to back") {
      $0["TDIR"].put(tensor(0, 4), UInt16(0))
    },
    Malformed("name not UTF-8", says: "text is not UTF-8") {
      $0["TDIR"].raw[$0["TDIR"].raw.count - 1] = 0xFF
    },
    Malformed("name with NUL", says: "holds a NUL") {
      $0["TDIR"].raw[$0["TDIR"].raw.count - 1] = 0
    },
    Malformed("role twice", says: "'text.layers.0.attentionNorm' stands where 'text.layers.0.query'")
    {
      $0["TDIR"].put(tensor(query, 8), UInt16(16))
    },
    Malformed("unknown role", says: "'role 999, layer 0' stands where") {
      $0["TDIR"].put(tensor(query, 8), UInt16(999))
    },
    Malformed("layer of another", says: "'text.layers.1.query' stands where") {
      $0["TDIR"].put(tensor(query, 10), Int16(1))
    },
    Malformed("layer -2", says: "has layer -2") { $0["TDIR"].put(tensor(query, 10), Int16(-2)) },
    Malformed("kind", says: "is of kind 2; 1 expected") { $0["TDIR"].raw[tensor(query, 7)] = 2 },
    Malformed("rank 0", says: "rank 0; 1...4") { $0["TDIR"].raw[tensor(query, 6)] = 0 },
    Malformed("rank 5", says: "rank 5; 1...4") { $0["TDIR"].raw[tensor(query, 6)] = 5 },
    Malformed("extent 0", says: "extent 0 is 0") { $0["TDIR"].put(tensor(query, 16), UInt32(0)) },
    Malformed("extent 2^32 - 1", says: "extent 1 is 4294967295") {
      $0["TDIR"].put(tensor(query, 20), UInt32.max)
    },
    Malformed("extent beyond the rank", says: "extent 2 is 2") {
      $0["TDIR"].put(tensor(query, 24), UInt32(2))
    },
    Malformed("another extent", says: "is [8, 9]; section MODL needs [8, 8]") {
      $0["TDIR"].put(tensor(query, 20), UInt32(9))
    },
    Malformed("another group", says: "is in group 9; 3 expected") {
      $0["TDIR"].put(tensor(query, 12), UInt16(9))
    },
    Malformed("unknown encoding", says: "encoding 17, which this build does not know") {
      $0["TDIR"].put(tensor(query, 14), UInt16(17))
    },
    Malformed("another encoding", says: "has 1088 bytes, but f32 [8, 8] takes 256") {
      $0["TDIR"].put(tensor(query, 14), UInt16(1))
    },
    Malformed("encoded vector", says: "vectors are f32") {
      $0["TDIR"].put(tensor(0, 14), UInt16(2))
    },
    Malformed("one byte short", says: "has 1087 bytes, but q8 [8, 8] takes 1088") {
      $0["TDIR"].put(tensor(query, 40), UInt64(1087))
    },
    Malformed("in another tensor", says: "starts at byte 0 of its section; 64 expected") {
      $0["TDIR"].put(tensor(query, 32), UInt64(0))
    },
    Malformed("start wraps", says: "starts at byte 18446744073709551615") {
      $0["TDIR"].put(tensor(query, 32), UInt64.max)
    },
    Malformed("reserved in an entry", says: "reserved byte is not zero") {
      $0["TDIR"].raw[tensor(query, 63)] = 1
    },
    Malformed("weights longer", says: "section WGTS 5: has 1153 bytes; its tensors take 1152") {
      $0.sections[10].raw.append(0)
    },
    Malformed("weights shorter", says: "ends at byte 1152, but section WGTS 5 has 1151") {
      $0.sections[10].raw.removeLast()
    },
    Malformed("weights too few", says: "has 5 WGTS sections, but the model needs 6") { file in
      file.sections.remove(at: file.sections.lastIndex { $0.type == "WGTS" } ?? 0)
    },
  ]

  @Test(arguments: directories)
  func tensorDirectoryIsRefused(_ malformed: Malformed) throws { try refuse(malformed) }

  // MARK: LAYR

  static let layers: [Malformed] = [
    Malformed("count", says: "has 3 layers, but section MODL has 2") {
      $0["LAYR"].put(0, UInt32(3))
    },
    Malformed("short entries", says: "entries of 16 bytes") { $0["LAYR"].put(4, UInt32(16)) },
    Malformed("layer repeated", says: "record 1 is for layer 0") {
      $0["LAYR"].put(16 + 32, UInt16(0))
    },
    Malformed("truncated against K", says: "layer 0 says truncated = true, but section PLAN says")
    {
      $0["LAYR"].raw[16 + 2] = 1
    },
    Malformed("truncated 2", says: "truncated = 2; 0 or 1") { $0["LAYR"].raw[16 + 2] = 2 },
    Malformed("another cache", says: "layer 0 differs from sections MODL and PLAN") {
      $0["LAYR"].raw[16 + 3] = 1
    },
    Malformed("another head count", says: "layer 0 differs") { $0["LAYR"].raw[16 + 4] = 3 },
    Malformed("another group", says: "layer 1 differs") { $0["LAYR"].raw[48 + 16] = 3 },
    Malformed("keys and values differ", says: "keys of 4 and values of 5") {
      $0["LAYR"].raw[16 + 10] = 5
    },
    Malformed("divergence NaN", says: "divergence of nan that is not finite") {
      $0["LAYR"].put(16 + 20, Float.nan)
    },
    Malformed("divergence not measured", says: "divergence of 1.5 that is not measured") {
      $0["LAYR"].put(16 + 24, UInt32(0))
    },
    Malformed("unknown flag", says: "flags 3, which are not known") {
      $0["LAYR"].put(16 + 24, UInt32(3))
    },
    Malformed("reserved", says: "reserved byte is not zero") { $0["LAYR"].raw[16 + 31] = 1 },
    Malformed("left over", says: "1 bytes are left over") { $0["LAYR"].raw.append(0) },
    Malformed("cut", says: "ends early") { $0["LAYR"].raw.removeLast() },
  ]

  @Test(arguments: layers)
  func layerTableIsRefused(_ malformed: Malformed) throws { try refuse(malformed) }

  // MARK: PLAN

  // Two profiles: default [0, 1) all, [1, 2) text; ocr [0, 1) all, [1, 2) all with visual frozen.
  static let classes = 64
  static let caches = classes + 4 * 32
  static let variants = caches + 2 * 32
  static let segments = variants + 2 * 32
  static let candidates = segments + 4 * 16
  static let names = candidates + 2 * 24

  static func plan(
    _ description: String, _ offset: Int, _ value: some FixedWidthInteger & Sendable,
    says message: String
  ) -> Malformed {
    Malformed(description, says: message) { $0["PLAN"].put(offset, value) }
  }

  static let plans: [Malformed] = [
    plan("layers", 0, UInt32(3), says: "is for 3 layers, but section MODL has 2"),
    plan("33 classes", 4, UInt16(33), says: "33 token classes; 4...4 expected"),
    plan("no cache", 6, UInt16(0), says: "0 KV classes; 1...255 expected"),
    plan("no variant", 8, UInt16(0), says: "0 variants; 1...256 expected"),
    plan("257 variants", 8, UInt16(257), says: "257 variants; 1...256 expected"),
    plan("default outside", 10, UInt16(2), says: "the default is variant 2 of 2"),
    plan("1 segment", 12, UInt32(1), says: "1 segments; 2...1024 expected"),
    plan("2^32 - 1 segments", 12, UInt32.max, says: "4294967295 segments"),
    plan("2^32 - 1 candidates", 16, UInt32.max, says: "4294967295 candidates"),
    plan("one segment more", 12, UInt32(5), says: "segments or names are left over"),
    plan("one candidate more", 16, UInt32(3), says: "ends early"),
    plan("short records", 20, UInt16(24), says: "24 bytes per record; 32...4096 expected"),
    plan("reserved", 36, UInt8(1), says: "reserved byte is not zero"),
    plan("more names", 32, UInt32(11), says: "segments or names are left over"),
    plan("class name", classes, UInt8(0x53), says: "token class 0 is not 'system'"),
    plan("class rows", classes + 24, UInt32(65), says: "has at most 65 rows; 64 expected"),
    plan("class kind", classes + 28, UInt32(2), says: "class 'system' is of another kind"),
    plan("cache of unknown class", caches, UInt32(0x1F), says: "KV class 0 has the mask 31"),
    plan("cache twice", caches + 32, UInt32(0xF), says: "KV class 1 has the mask 15"),
    plan("capacity 2^31", caches + 4, UInt32(1) << 31, says: "holds 2147483648 rows; 64 expected"),
    plan("dtype 2", caches + 8, UInt8(2), says: "KV class 0 has dtype 2"),
    plan("dtypes differ", caches + 40, UInt8(0), says: "KV class 1 has another dtype"),
    plan("bytes per layer", caches + 16, UInt64(1025), says: "has 1025 bytes a layer; 1024 expected"),
    plan("variants share segments", variants + 32, UInt16(1), says: "variant 1 has segments 1..<3"),
    plan("variant without segments", variants + 2, UInt16(0), says: "variant 0 has segments 0..<0"),
    plan("segments outside", variants + 34, UInt16(9), says: "variant 1 has segments 2..<11"),
    plan("K beyond N", variants + 4, UInt16(3), says: "says K = 3; at most 2 expected"),
    plan("K against segments", variants + 4, UInt16(2), says: "K = 2, but its segments say 1"),
    plan("position mode", variants + 6, UInt8(1), says: "position mode 1, which is not known"),
    plan("FLOPs ratio", variants + 8, Float(1.5).bitPattern, says: "FLOPs ratio of 1.5; 0...1"),
    plan("KV ratio NaN", variants + 12, Float.nan.bitPattern, says: "KV ratio of nan; 0...1"),
    plan("name elsewhere", variants + 16, UInt32(1), says: "names lie back to back"),
    plan("name of 0 bytes", variants + 20, UInt16(0), says: "names lie back to back"),
    plan("name not UTF-8", names, UInt8(0xFF), says: "text is not UTF-8"),
    plan("name with NUL", names, UInt8(0), says: "holds a NUL or is taken"),
    plan("layer left out", segments + 16, UInt16(0), says: "goes on at layer 0 after 1"),
    plan("segment empty", segments + 2, UInt16(0), says: "segment 0 has layers 0..<0 of 2"),
    plan("segment beyond N", segments + 18, UInt16(3), says: "segment 1 has layers 1..<3 of 2"),
    plan("mask unlike its cache", segments + 4, UInt32(7), says: "has the class mask 7, unlike its"),
    plan("cache outside", segments + 8, UInt16(2), says: "unlike its KV class 2"),
    plan("segment flags", segments + 10, UInt16(1), says: "reserved byte is not zero"),
    plan("freezes text", segments + 12, UInt32(1), says: "freezes text rows or rows that are not"),
    plan("freezes absent rows", segments + 28, UInt32(8), says: "rows that are not there"),
    Malformed("thaws", says: "variant 'ocr' thaws rows at layer 1") {
      $0["PLAN"].put(segments + 32 + 12, UInt32(8))
      $0["PLAN"].put(segments + 48 + 12, UInt32(0))
    },
    Malformed("mask grows", says: "brings rows back at layer 1") {
      $0["PLAN"].put(segments + 4, UInt32(7))
      $0["PLAN"].put(segments + 8, UInt16(1))
      $0["PLAN"].put(segments + 20, UInt32(15))
      $0["PLAN"].put(segments + 24, UInt16(0))
    },
    Malformed("generated rows dropped", says: "drops text rows at layer 1") {
      $0["PLAN"].put(caches + 32, UInt32(3))
      $0["PLAN"].put(segments + 20, UInt32(3))
    },
    Malformed("layers not covered", says: "covers 1 of 2 layers") {
      $0["PLAN"].put(variants + 2, UInt16(1))
      $0["PLAN"].put(variants + 4, UInt16(1))
      $0["PLAN"].put(variants + 32, UInt16(1))
      $0["PLAN"].put(variants + 34, UInt16(3))
    },
    Malformed("candidate eta NaN", says: "candidate 0 holds a number that is not finite") {
      $0["PLAN"].put(candidates, Float.nan)
    },
    Malformed("agreement 2", says: "agreement outside 0...1") {
      $0["PLAN"].put(candidates + 12, Float(2))
    },
    Malformed("eta falls", says: "eta must rise and K must not (0.001 -> 0.0005") {
      $0["PLAN"].put(candidates + 24, Float(0.0005))
    },
    plan("candidate K rises", candidates + 16, UInt16(0), says: "eta must rise and K must not"),
    plan("candidate K beyond N", candidates + 16, UInt16(3), says: "says K = 3; at most 2"),
    Malformed("left over", says: "1 bytes are left over") { $0["PLAN"].raw.append(0) },
    Malformed("frozen rows without the feature bit", says: "freezes rows, but the header") {
      FileBytes.put(&$0.header, 24, UInt64(0))
    },
  ]

  @Test(arguments: plans)
  func planIsRefused(_ malformed: Malformed) throws { try refuse(malformed) }

  @Test func planRecordsMayGrow() throws {
    var file = try FileBytes(original)
    let plan = file["PLAN"].raw
    var grown = Array(plan[..<Self.classes])
    var start = Self.classes
    for (place, count, size) in [(20, 4, 32), (22, 2, 32), (24, 2, 32), (26, 4, 16), (28, 2, 24)] {
      FileBytes.put(&grown, place, UInt16(size + 8))
      for _ in 0..<count {
        grown += plan[start..<start + size] + [1, 2, 3, 4, 5, 6, 7, 8]
        start += size
      }
    }
    file["PLAN"].raw = grown + plan[start...]
    #expect(try problem(file.bytes, verifying: true) == nil)
  }

  // MARK: TOKN

  // 13 pieces of 44 bytes together, 2 merges, 2 tests.
  static let offsets = 64
  static let scores = offsets + 4 * 14
  static let kinds = scores + 4 * 13
  static let merges = kinds + 16
  static let text = merges + 2 * 12

  static func tokenizer(
    _ description: String, _ offset: Int, _ value: some FixedWidthInteger & Sendable,
    says message: String
  ) -> Malformed {
    Malformed(description, says: message) { $0["TOKN"].put(offset, value) }
  }

  static let tokenizers: [Malformed] = [
    tokenizer("kind 4", 0, UInt32(4), says: "tokenizer kind 4 is not known"),
    tokenizer("splitter 99", 4, UInt32(99), says: "splitting rule 99 is not known"),
    tokenizer("no pieces", 8, UInt32(0), says: "0 pieces; 1...2097152"),
    tokenizer("2^32 - 1 pieces", 8, UInt32.max, says: "4294967295 pieces"),
    tokenizer("2^20 pieces", 8, UInt32(1) << 20, says: "1048576 pieces do not fit"),
    tokenizer("2^32 - 1 merges", 12, UInt32.max, says: "4294967295 merges do not fit"),
    tokenizer("merges beside scores", 0, UInt32(1), says: "2 merges, but the kind ranks by score"),
    tokenizer("unknown flag", 16, UInt32(1024), says: "hold a rule that is not known"),
    tokenizer("bos outside", 20, UInt32(13), says: "id 13 is not among 13 pieces"),
    tokenizer("pad outside", 32, UInt32(0xFFFF_FFFE), says: "is not among 13 pieces"),
    tokenizer("text size", 36, UInt32(3), says: "the offset of piece"),
    tokenizer("2^32 - 1 tests", 40, UInt32.max, says: "4294967295 tests; at most 1024"),
    tokenizer("one test more", 40, UInt32(3), says: "ends early"),
    tokenizer("one test less", 40, UInt32(1), says: "8 bytes are left over"),
    tokenizer("reserved", 44, UInt8(1), says: "reserved byte is not zero"),
    tokenizer("first offset", offsets, UInt32(1), says: "the offset of piece 0 is 1"),
    tokenizer("offset outside", offsets + 4, UInt32.max, says: "the offset of piece 1 is 4294967295"),
    tokenizer("offset falls", offsets + 8, UInt32(0), says: "the offset of piece 2 is 0"),
    tokenizer("score NaN", scores, Float.nan.bitPattern, says: "the score of piece 0 is not finite"),
    tokenizer("kind 7", kinds, UInt8(7), says: "piece 0 is of kind 7"),
    tokenizer("byte of 5 bytes", kinds, UInt8(6), says: "piece 0 stands for one byte, but has 5"),
    Malformed("byte twice", says: "piece 4 stands for byte 10 again") {
      $0["TOKN"].put(kinds + 4, UInt8(6))
      $0["TOKN"].put(text + 13, UInt8(0x0A))
    },
    tokenizer("empty piece", kinds + 10, UInt8(1), says: "piece 10 is empty"),
    tokenizer("padding of kinds", kinds + 13, UInt8(1), says: "reserved byte is not zero"),
    tokenizer("piece not UTF-8", text, UInt8(0xFF), says: "piece 0 is not UTF-8"),
    tokenizer("equal pieces", text + 14, UInt8(0x61), says: "piece 5 equals an earlier one"),
    tokenizer("merge outside", merges + 8, UInt32(13), says: "id 13 is not among 13 pieces"),
    tokenizer("merge of other text", merges + 8, UInt32(8), says: "which is not their joint text"),
    Malformed("left over", says: "4 bytes are left over") { $0["TOKN"].raw += [0, 0, 0, 0] },
    Malformed("cut", says: "ends early") { $0["TOKN"].raw.removeLast() },
    Malformed("more pieces than the vocabulary", says: "13 pieces, but section MODL has") {
      $0["MODL"].replace("\"vocab\":34", "\"vocab\":12")
      $0["MODL"].replace("\"image_token\":12", "\"image_token\":11")
    },
  ]

  @Test(arguments: tokenizers)
  func tokenizerIsRefused(_ malformed: Malformed) throws { try refuse(malformed) }
}
