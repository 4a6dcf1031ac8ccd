import Architecture
import TensorCore
import Testing
import VTWMFile

/// Header and section table.
@Suite struct FramingTests {
  let fixture: MalformedFixture

  init() throws { fixture = try MalformedFixture() }

  @Test func unchangedPartsPutTogetherAgainAreTheSameFile() throws {
    #expect(try FileBytes(fixture.original).bytes == fixture.original)
  }

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
    var bytes = fixture.original
    malformed.edit(&bytes)
    try fixture.expectRefusal(bytes, malformed.message)
  }

  @Test func emptyAndTinyFilesAreRefused() throws {
    try fixture.expectRefusal([], "is empty")
    try fixture.expectRefusal(Array(fixture.original[..<127]), "has 127 bytes")
  }

  @Test func laterMinorVersionsAndOptionalFeaturesOpen() throws {
    var bytes = fixture.original
    bytes[10] = 7
    FileBytes.put(&bytes, 32, UInt64(1) << 40)
    FileBytes.reseal(&bytes)
    #expect(try fixture.problem(bytes, verifying: true) == nil)
  }

  @Test func unknownAncillarySectionIsSkippedButMustBeWhole() throws {
    var file = try FileBytes(fixture.original)
    file.sections.append(
      FileBytes.Section(
        identity: Array("qRST".utf8) + [9, 0, 0, 0], alignment: 3, raw: [1, 2, 3, 4, 5]))
    var bytes = file.bytes
    #expect(try fixture.problem(bytes, verifying: true) == nil)
    bytes[bytes.count - 1] ^= 1
    try fixture.expectRefusal(bytes, "section qRST: checksum is wrong")
  }

  @Test func optionalSectionsMayBeAbsent() throws {
    var file = try FileBytes(fixture.original)
    let before = try VTWMFile(opening: fixture.folder.file("original.vtwm"))
    file.sections.removeAll { ["cHAt", "cALB", "pROV"].contains($0.type) }
    let path = try fixture.folder.write(file.bytes, as: "bare.vtwm")
    let bare = try VTWMFile(opening: path)
    #expect(bare.template.name == "plain")
    #expect(bare.calibration == nil && bare.provenance == nil)
    #expect(bare.contentID == before.contentID)
  }

  @Test func sectionsMayStandInAnyOrder() throws {
    var file = try FileBytes(fixture.original)
    file.sections.insert(file.sections.removeLast(), at: 0)
    let tokenizer = file.sections.firstIndex { $0.type == "TOKN" } ?? 0
    file.sections.insert(file.sections.remove(at: tokenizer), at: 0)
    #expect(try fixture.problem(file.bytes, verifying: true) == nil)
  }

  @Test func recordsMayGrow() throws {
    var file = try FileBytes(fixture.original)
    file["TDIR"].raw = Self.grown(file["TDIR"].raw, header: 32, entry: 64)
    FileBytes.put(
      &file["TDIR"].raw, 8, UInt64(32 + 72 * file["TDIR"].integer(0, size: 4)))
    file["LAYR"].raw = Self.grown(file["LAYR"].raw, header: 16, entry: 32)
    #expect(try fixture.problem(file.bytes, verifying: true) == nil)
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
}
