import Checkpoints
import TensorCore
import TestSupport
import Testing

@Suite struct GGUFFileTests {
  private func file(_ bytes: [UInt8]) throws(InputError) -> GGUFFile {
    try GGUFFile(ByteRegion(copying: bytes, name: "m.gguf"))
  }

  /// The error of a model that `change` has spoilt.
  private func problem(_ change: (inout TinyGGUF) -> Void) -> String? {
    var tiny = TinyGGUF.model
    change(&tiny)
    do throws(InputError) {
      _ = try file(tiny.bytes)
      return nil
    } catch {
      #expect(error.file == "m.gguf")
      return error.problem
    }
  }

  // What the `gguf` package wrote

  private static let types = [
    "F32", "F16", "BF16", "F64", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K",
    "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4",
  ]

  @Test(arguments: types) func decodesAsTheReferencePackage(_ name: String) throws {
    let expected = try Fixture(at: fixturePath("gguf/types/expected.safetensors"))[name]
    let file = try GGUFFile(mapping: fixturePath("gguf/types/\(name).gguf"))
    let tensor = try #require(file.tensors.first)
    #expect(tensor.format.name == name)
    #expect(tensor.shape.dimensions == expected.shape)
    let values = tensor.values()
    for (place, (value, expected)) in zip(values, expected.floats).enumerated()
    where value.bitPattern != expected.bitPattern {
      Issue.record("element \(place) is \(value), not \(expected)")
      break
    }
    #expect(values.count == expected.floats.count)
    // Row by row it is the same.
    var row: [Float] = []
    tensor.readRows(1..<2, into: &row)
    #expect(row == Array(values[tensor.columnCount..<2 * tensor.columnCount]))
  }

  @Test func knowsAllReadableTypes() {
    #expect(Set(GGUFBlocks.readableNames) == Set(Self.types))
  }

  @Test func readsEveryTypeOfMetadata() throws {
    let metadata = try GGUFFile(mapping: fixturePath("gguf/metadata.gguf")).metadata
    let expected: [(String, GGUFValue)] = [
      ("uint8", .integer(200)), ("int8", .integer(-100)), ("uint16", .integer(60000)),
      ("int16", .integer(-30000)), ("uint32", .integer(4_000_000_000)),
      ("int32", .integer(-2_000_000_000)), ("float32", .float(1.5)), ("bool", .bool(true)),
      ("string", .string("Grüße\n")), ("uint64", .float(0x1p63)),
      ("int64", .integer(-(1 << 62))), ("float64", .float(1e300)),
    ]
    for (name, value) in expected { #expect(metadata["test.\(name)"] == value, "\(name)") }
    #expect(try metadata.strings("test.strings", atMost: 3) == ["a", "", "ü"])
    #expect(try metadata.integers("test.integers", atMost: 3) == [3, -2, 1])
    #expect(try metadata.floats("test.floats", atMost: 2) == [0.5, -1.25])
    #expect(metadata["test.none"] == nil)
    #expect(throws: InputError.self) { try metadata.integers("test.strings", atMost: 3) }
    #expect(throws: InputError.self) { try metadata.integers("test.integers", atMost: 2) }
    #expect(throws: InputError.self) { try metadata.strings("test.string", atMost: 3) }
    #expect(throws: InputError.self) { try metadata.bool("test.uint8") }
  }

  // What is accepted

  @Test func readsVersionTwoAndOtherAlignments() throws {
    var tiny = TinyGGUF.model
    tiny.version = 2
    tiny.alignment = 64
    tiny.set("general.alignment", UInt32(64))
    let found = try file(tiny.bytes)
    #expect(found.tensors.map(\.name) == tiny.tensors.map(\.name))
    #expect(found.tensors[0].shape == [5, 8])
    #expect(found.tensors[4].values()[3] == Float(5) + Float(3) / 64)
  }

  @Test func acceptsNestedArrays() throws {
    var tiny = TinyGGUF.model
    let inner = TinyGGUF.array(0, [[1], [2]])
    tiny.set("nested", 9, TinyGGUF.array(9, [inner, inner, TinyGGUF.array(8, [])]))
    #expect(try file(tiny.bytes).metadata["nested"]?.kind == "an array")
  }

  @Test func acceptsGapsAndAnyOrder() throws {
    var tiny = TinyGGUF()
    tiny.add("a", [3])
    tiny.add("b", [3])
    tiny.tensors[0].offset = 32
    tiny.tensors[1].offset = 0
    let found = try file(tiny.bytes).tensors
    #expect(found.map(\.name) == ["a", "b"])
    #expect(found.map { $0.values()[0] } == [2, 1])
    tiny.tensors[0].offset = 64
    #expect(try file(tiny.bytes + Array(repeating: 9, count: 32)).tensors.count == 2)
  }

  @Test func acceptsAFileWithoutTheLastPadding() throws {
    var tiny = TinyGGUF()
    tiny.add("t", [3])
    #expect(
      try file(Array(tiny.bytes.dropLast(20))).tensors[0].values() == [1, 1 + 1 / 64, 1 + 2 / 64])
  }

  // What is refused

  @Test func refusesOtherFilesAndVersions() {
    #expect(
      problem { $0.magic = Array("GGML".utf8) }
        == "is not a GGUF file: it does not begin with 'GGUF'")
    #expect(problem { $0.version = 1 } == "is of GGUF version 1; versions 2 and 3 are supported")
    #expect(problem { $0.version = 4 } == "is of GGUF version 4; versions 2 and 3 are supported")
    #expect(
      problem { $0.version = 3 << 24 }
        == "is a GGUF file of the other byte order (big-endian), which is not supported")
  }

  @Test func refusesAPointerToTheFile() {
    let pointer = Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\n".utf8)
    #expect(
      throws: InputError(
        "m.gguf", "is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'")
    ) { try file(pointer) }
  }

  @Test func refusesCountsThatCannotBe() {
    #expect(
      problem { $0.tensorCount = 1 << 40 }
        == "has 1099511627776 tensors; at most 200000 are supported (at byte 16)")
    #expect(problem { $0.tensorCount = 150_000 }?.contains("more than its") == true)
    #expect(problem { $0.keyCount = .max }?.contains("at most 65536") == true)
    #expect(problem { $0.keyCount = 60_000 }?.contains("more than its") == true)
    #expect(problem { $0.tensorCount = 12 } != nil)
    #expect(problem { $0.keyCount = 14 } != nil)
  }

  @Test func refusesMetadataThatDoesNotFit() {
    #expect(
      problem { $0.set("k", 13, [0, 0, 0, 0]) }?.contains("'k' is of type 13, which is not known")
        == true)
    #expect(problem { $0.set("k", 7, [2]) }?.contains("'k' is a boolean of value 2") == true)
    #expect(
      problem { $0.set("k", 8, TinyGGUF.size(1 << 40)) }?.contains("at most 33554432") == true)
    #expect(
      problem { $0.set("k", 8, TinyGGUF.size(1 << 20)) }?.contains("but only") == true)
    #expect(
      problem { $0.set("k", 8, TinyGGUF.size(2) + [0xC0, 0x80]) }?.contains("is not UTF-8") == true)
    #expect(
      problem { $0.set("k", 9, TinyGGUF.number(UInt32(4)) + TinyGGUF.size(1 << 30)) }?.contains(
        "at most 16777216") == true)
    #expect(
      problem { $0.set("k", 9, TinyGGUF.number(UInt32(4)) + TinyGGUF.size(1 << 20)) }?.contains(
        "more than its") == true)
    #expect(
      problem { tiny in
        var value = TinyGGUF.array(0, [])
        for _ in 0..<4 { value = TinyGGUF.array(9, [value]) }
        tiny.set("k", 9, value)
      }?.contains("more than 4 levels") == true)
    #expect(
      problem { $0.keys.append($0.keys[0]) }?.contains("'general.architecture' is there twice")
        == true)
  }

  /// What is kept in memory is bounded, however large the file.
  @Test func refusesMetadataOfEndlessText() {
    let text = String(repeating: "a", count: 30 << 20)
    #expect(
      problem { tiny in
        for key in ["a", "b", "c"] { tiny.set(key, text) }
      }?.contains("has more than 67108864 bytes of text in its metadata") == true)
    var tiny = TinyGGUF.model
    tiny.set("a", [text, text, text])
    #expect(throws: InputError("m.gguf", "'a' has 94371864 bytes; at most 67108864 are supported"))
    {
      try file(tiny.bytes).metadata.strings("a", atMost: 3)
    }
  }

  @Test func refusesAlignments() {
    for alignment: UInt32 in [0, 4, 24, 1 << 17] {
      #expect(
        problem { $0.set("general.alignment", alignment) }?.contains(
          "'general.alignment' is \(alignment)")
          == true)
    }
    #expect(problem { $0.set("general.alignment", "32") }?.contains("is a string") == true)
    // Offsets are multiples of 32 only.
    #expect(
      problem { $0.set("general.alignment", UInt32(4096)) }?.contains("no multiple of 4096") == true
    )
  }

  @Test func refusesTensorsThatDoNotFit() {
    func changing(_ change: @escaping (inout TinyGGUF.Tensor) -> Void) -> String {
      problem { change(&$0.tensors[3]) } ?? "none"
    }
    let name = "tensor 'blk.0.attn_q.weight'"
    #expect(changing { $0.dimensions = [] }.contains("\(name) has 0 dimensions"))
    #expect(changing { $0.dimensions = [1, 1, 1, 1, 1] }.contains("\(name) has 5 dimensions"))
    #expect(changing { $0.dimensions = [8, 0] }.contains("\(name) has a dimension of 0"))
    #expect(changing { $0.dimensions = [.max, 1] }.contains("\(name) has a dimension of"))
    #expect(changing { $0.dimensions = [1 << 40, 1 << 40] }.contains("impossible number of bytes"))
    #expect(changing { $0.dimensions = [1 << 20, 1 << 20] }.contains("cut off or damaged"))
    #expect(changing { $0.type = 4 }.contains("\(name) is of type 4, which was removed from GGUF"))
    #expect(changing { $0.type = 99 }.contains("\(name) is of type 99, which is not known"))
    #expect(changing { $0.type = 12 }.contains("has rows of 8; Q4_K comes in blocks of 256"))
    // A vector has no rows of blocks.
    #expect(
      changing {
        $0.dimensions = [256]
        $0.type = 8
      }.contains("has rows of 1; Q8_0 comes in blocks of 32"))
    #expect(changing { $0.offset = 33 }.contains("no multiple of 32"))
    #expect(changing { $0.offset = 1 << 62 }.contains("cut off or damaged"))
    #expect(changing { $0.offset = UInt64.max - 31 }.contains("of the data"))
    #expect(
      changing { $0.offset = 0 }.contains("'token_embd.weight' and 'blk.0.attn_q.weight' overlap"))
    #expect(
      changing { $0.name = "token_embd.weight" }.contains("two tensors named 'token_embd.weight'"))
    #expect(changing { $0.name = String(repeating: "n", count: 65) }.contains("at most 64"))
  }

  @Test func refusesEveryTruncation() {
    let bytes = TinyGGUF.model.bytes
    for count in 1..<bytes.count - 16 {
      #expect(throws: InputError.self, "\(count)") { try file(Array(bytes[..<count])) }
    }
  }

  /// Whatever one byte says, the file is refused or its tensors lie in it.
  @Test func survivesEveryDamagedByte() {
    let whole = TinyGGUF.model.bytes
    var refused = 0
    for index in whole.indices {
      for value in [0, 0xFF, whole[index] ^ 0x80, whole[index] ^ 1, whole[index] &+ 1] {
        var bytes = whole
        bytes[index] = value
        do {
          let found = try file(bytes)
          #expect(
            found.tensors.allSatisfy {
              0 <= $0.range.lowerBound && $0.range.upperBound <= bytes.count
            },
            "byte \(index) as \(value)")
          for tensor in found.tensors where tensor.format.isReadable { _ = tensor.values() }
        } catch {
          refused += 1
          #expect(error.file == "m.gguf" && !error.problem.contains("\n"))
        }
      }
    }
    #expect(refused > 1000)
  }
}
