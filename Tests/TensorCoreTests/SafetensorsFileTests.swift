import TensorCore
import TestSupport
import Testing

@Suite struct SafetensorsFileTests {
  private func open(_ bytes: [UInt8]) throws(InputError) -> SafetensorsFile {
    try SafetensorsFile(ByteRegion(copying: bytes))
  }

  /// Three tensors and metadata; the data starts at an odd byte.
  private static let tiny = safetensorsBytes(
    header: """
      {"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[],"data_offsets":[4,5]},\
      "a":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]}, \
      "c":{"dtype":"I8","shape":[1],"data_offsets":[5,6]}}
      """,
    data: [0x00, 0x3C, 0x00, 0xC0, 7, 9])

  @Test func readsTensorsInAnyOrderAndAlignment() throws {
    let file = try open(Self.tiny)
    #expect(file.metadata == ["format": "pt"])
    #expect(file.tensors.keys.sorted() == ["a", "b", "c"])
    let a = try #require(file.tensors["a"])
    #expect(!a.range.lowerBound.isMultiple(of: 2))
    #expect(a.format.name == "F16")
    #expect(a.shape == [2, 1])
    #expect(a.values() == [1, -2])
    let b = try #require(file.tensors["b"])
    #expect(b.shape == [])
    #expect(file.region.copy(b.range) == [7])
  }

  @Test func acceptsSpaceAroundTheHeader() throws {
    let header = " \n{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}   "
    let file = try open(safetensorsBytes(header: header, data: [0, 0, 0x80, 0x3F]))
    #expect(file.tensors["a"]?.values() == [1])
  }

  @Test func acceptsNoTensorsAndEmptyTensors() throws {
    #expect(try open(safetensorsBytes(header: "{}")).tensors.isEmpty)
    let header = """
      {"a":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},\
      "b":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]},\
      "c":{"dtype":"F32","shape":[3,0],"data_offsets":[2,2]}}
      """
    let file = try open(safetensorsBytes(header: header, data: [0x80, 0x3F]))
    #expect(file.tensors["a"]?.values() == [])
    #expect(file.tensors["b"]?.values() == [1])
    #expect(file.tensors["c"]?.rowCount == 3)
    #expect(file.tensors["c"]?.values() == [])
  }

  @Test func refusesEveryTruncation() {
    for count in 0..<Self.tiny.count {
      #expect(throws: InputError.self, "\(count) bytes") {
        try open(Array(Self.tiny.prefix(count)))
      }
    }
    #expect(throws: InputError("memory", "has 7 bytes of data, but its tensors end at byte 6")) {
      try open(Self.tiny + [0])
    }
  }

  @Test func survivesEveryDamagedByte() {
    for offset in Self.tiny.indices {
      for value: UInt8 in [0, 1, 0x22, 0x2D, 0x39, 0x7D, 0x80, 0xFF] {
        let bytes = corrupting(Self.tiny, at: offset, with: [value])
        guard let file = try? open(bytes) else { continue }
        let size = file.tensors.values.reduce(0) { $0 + $1.range.count }
        #expect(size == 6, "byte \(offset) set to \(value)")
        for tensor in file.tensors.values where tensor.format.isReadable {
          #expect(tensor.values().count == tensor.shape.elementCount)
        }
      }
    }
  }

  @Test(arguments: [
    (
      UInt64(100_000_001),
      """
      header size is 100000001, more than the limit of 100000000: this is not a safetensors file
      """
    ),
    (
      .max,
      """
      header size is 18446744073709551615, more than the limit of 100000000: \
      this is not a safetensors file
      """
    ),
    (3, "header size is 3, but only 2 bytes follow: the file is cut off or damaged"),
    (1, "header is not valid JSON at byte 9: a key in quotes expected"),
    (0, "header is not valid JSON at byte 8: the document ends too early"),
  ])
  func refusesHeaderSize(_ size: UInt64, _ problem: String) {
    #expect(throws: InputError("memory", problem)) {
      try open(safetensorsBytes(header: "{}", headerSize: size))
    }
  }

  @Test(arguments: [
    ("[]", "header is an array; an object is expected"),
    (#"{"a":1,}"#, "header is not valid JSON at byte 15: a key in quotes expected"),
    (#"{"a":[1]}"#, "tensor 'a': its entry is an array; an object is expected"),
    (#"{"__metadata__":[]}"#, "__metadata__ is an array; an object is expected"),
    (#"{"__metadata__":{"x":1}}"#, "__metadata__ 'x' is an integer; a string is expected"),
    (
      #"{"a":{"shape":[1],"data_offsets":[0,4]}}"#,
      "tensor 'a': 'dtype' is missing or not a string"
    ),
    (
      #"{"a":{"dtype":"F128","shape":[1],"data_offsets":[0,4]}}"#,
      "tensor 'a': unknown dtype 'F128'"
    ),
    (
      #"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#,
      "tensor 'a': 'shape' is missing or not an array"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}"#,
      "tensor 'a': 'shape' holds something else than sizes"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
      "tensor 'a': 'shape' holds something else than sizes"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}}"#,
      "tensor 'a': 'shape' holds something else than sizes"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#,
      "tensor 'a': has 9 dimensions; at most 8 are allowed"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1]}}"#,
      "tensor 'a': 'data_offsets' is not a range [begin, end]"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
      "tensor 'a': 'data_offsets' is not a range [begin, end]"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}"#,
      "tensor 'a': 'data_offsets' is not a range [begin, end]"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}"#,
      "tensor 'a': 'data_offsets' is not a range [begin, end]"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
      "tensor 'a' has 4 bytes; F32 [2] needs 8"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#,
      "tensor 'a' has 4 bytes; F32 [4294967296, 4294967296] needs an impossible number"
    ),
    (
      #"{"a":{"dtype":"F4","shape":[7],"data_offsets":[0,4]}}"#,
      "tensor 'a' has 4 bytes; F4 [7] needs an impossible number"
    ),
    (
      #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
      """
      tensor 'a' ends at byte 8 of the data, but there are only 4: the file is cut off or damaged
      """
    ),
    (
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,9223372036854775807]}}"#,
      """
      tensor 'a' ends at byte 9223372036854775807 of the data, but there are only 4: the file is \
      cut off or damaged
      """
    ),
    (
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}"#,
      "tensor 'a' begins at byte 3 of the data; the one before it ends at 0"
    ),
    (
      #"""
      {"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},\#
      "b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}
      """#,
      "tensor 'b' begins at byte 2 of the data; the one before it ends at 3"
    ),
    (
      #"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#,
      "has 4 bytes of data, but its tensors end at byte 3"
    ),
    ("{}", "has 4 bytes of data, but its tensors end at byte 0"),
    (
      #"""
      {"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},\#
      "a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}
      """#,
      "header is not valid JSON at byte 113: an object has two members of the same key"
    ),
    (
      "{\"\u{E9}\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
        + "\"e\u{301}\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
      "has two tensors named 'e\u{301}'"
    ),
    (
      #"{"a\u001b[2J":{"dtype":"F128","shape":[1],"data_offsets":[0,4]}}"#,
      "tensor 'a\\u{1b}[2J': unknown dtype 'F128'"
    ),
  ])
  func refusesHeader(_ header: String, _ problem: String) {
    #expect(throws: InputError("memory", problem)) {
      try open(safetensorsBytes(header: header, data: [1, 2, 3, 4]))
    }
  }

  @Test func namesAPointerOfGitLFS() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    let problem = "is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'"
    #expect(throws: InputError("memory", problem)) { try open(Array(pointer.utf8)) }
  }

  @Test func readsWhatTheReferenceWriterWrote() throws {
    let file = try SafetensorsFile(mapping: fixturePath("models/gqa/model.safetensors"))
    let fixture = try Fixture(at: fixturePath("models/gqa/model.safetensors"))
    #expect(file.metadata == fixture.metadata)
    #expect(file.tensors.keys.sorted() == fixture.tensors.keys.sorted())
    for (name, tensor) in file.tensors {
      #expect(tensor.shape.dimensions == (try fixture[name].shape))
      #expect(tensor.values() == (try fixture[name].floats))
    }
  }
}
