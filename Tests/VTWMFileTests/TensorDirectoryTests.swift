import TensorCore
import Testing
import VTWMFile

/// Section TDIR and the weight sections that it describes.
@Suite struct TensorDirectoryTests {
  let fixture: MalformedFixture

  init() throws { fixture = try MalformedFixture() }

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
    Malformed(
      "role twice", says: "'text.layers.0.attentionNorm' stands where 'text.layers.0.query'"
    ) {
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
    Malformed("unknown encoding", says: "encoding 99, which this build does not know") {
      $0["TDIR"].put(tensor(query, 14), UInt16(99))
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
  func tensorDirectoryIsRefused(_ malformed: Malformed) throws { try fixture.refuse(malformed) }
}
