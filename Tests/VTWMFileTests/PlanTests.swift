import TensorCore
import Testing
import VTWMFile

/// Sections PLAN and LAYR.
@Suite struct PlanTests {
  let fixture: MalformedFixture

  init() throws { fixture = try MalformedFixture() }

  static let layers: [Malformed] = [
    Malformed("count", says: "has 3 layers, but section MODL has 2") {
      $0["LAYR"].put(0, UInt32(3))
    },
    Malformed("short entries", says: "entries of 16 bytes") { $0["LAYR"].put(4, UInt32(16)) },
    Malformed("layer repeated", says: "record 1 is for layer 0") {
      $0["LAYR"].put(16 + 32, UInt16(0))
    },
    Malformed("truncated against K", says: "layer 0 says truncated = true, but section PLAN says") {
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
  func layerTableIsRefused(_ malformed: Malformed) throws { try fixture.refuse(malformed) }

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
    plan(
      "bytes per layer", caches + 16, UInt64(1025), says: "has 1025 bytes a layer; 1024 expected"),
    plan("variants share segments", variants + 32, UInt16(1), says: "variant 1 has segments 1..<3"),
    plan("variant without segments", variants + 2, UInt16(0), says: "variant 0 has segments 0..<0"),
    plan("segments outside", variants + 34, UInt16(9), says: "variant 1 has segments 2..<11"),
    plan("K beyond N", variants + 4, UInt16(3), says: "says K = 3; at most 2 expected"),
    plan("K against segments", variants + 4, UInt16(2), says: "K = 2, but its segments say 1"),
    plan("position mode", variants + 6, UInt8(1), says: "position mode 1, which is not known"),
    plan("FLOPs ratio", variants + 8, Float(1.5).bitPattern, says: "FLOPs ratio of 1.5; 0...1"),
    plan("KV ratio NaN", variants + 12, Float.nan.bitPattern, says: "KV ratio of nan; 0...1"),
    plan(
      "FLOPs ratio of another plan", variants + 8, Float(0.25).bitPattern,
      says: "FLOPs ratio of 0.25; its"),
    plan(
      "KV ratio of another plan", variants + 44, Float(0.5).bitPattern, says: "KV ratio of 0.5; its"
    ),
    plan("name elsewhere", variants + 16, UInt32(1), says: "names lie back to back"),
    plan("name of 0 bytes", variants + 20, UInt16(0), says: "names lie back to back"),
    plan("name not UTF-8", names, UInt8(0xFF), says: "text is not UTF-8"),
    plan("name with NUL", names, UInt8(0), says: "holds a NUL or is taken"),
    plan("layer left out", segments + 16, UInt16(0), says: "goes on at layer 0 after 1"),
    plan("segment empty", segments + 2, UInt16(0), says: "segment 0 has layers 0..<0 of 2"),
    plan("segment beyond N", segments + 18, UInt16(3), says: "segment 1 has layers 1..<3 of 2"),
    plan(
      "mask unlike its cache", segments + 4, UInt32(7), says: "has the class mask 7, unlike its"),
    plan("cache outside", segments + 8, UInt16(2), says: "unlike its KV class 2"),
    plan("segment flags", segments + 10, UInt16(1), says: "reserved byte is not zero"),
    plan("freezes text", segments + 12, UInt32(1), says: "freezes text rows or rows that are not"),
    plan("freezes absent rows", segments + 28, UInt32(8), says: "rows that are not there"),
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
  func planIsRefused(_ malformed: Malformed) throws { try fixture.refuse(malformed) }

  @Test func planRecordsMayGrow() throws {
    var file = try FileBytes(fixture.original)
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
    #expect(try fixture.problem(file.bytes, verifying: true) == nil)
  }
}
