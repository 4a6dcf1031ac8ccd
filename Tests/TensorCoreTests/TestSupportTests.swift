import TensorCore
import TestSupport
import Testing

/// The tools of the other tests: a comparison that never fails would hide everything.
@Suite struct TestSupportTests {
  @Test func findsTheWorstDifference() throws {
    let worst = try #require(worstDifference([1, 2, 3, 4], [1, 2.5, 2, 4]))
    #expect(worst == (1, 2))
    #expect(try #require(worstDifference([1, .nan], [1, 2])) == (.infinity, 1))
    #expect(try #require(worstDifference([.infinity], [-.infinity])).difference == .infinity)
    #expect(try #require(worstDifference([.infinity], [.infinity])).difference == 0)
    #expect(worstDifference([], []) == nil)
  }

  @Test func reportsArraysThatAreNotClose() {
    expectClose([1, 100], [1.0005, 100], relative: 1e-5)
    expectClose([], [])
    withKnownIssue { expectClose([1, 100], [1.01, 100], relative: 1e-5) }
    withKnownIssue { expectClose([.nan], [1], relative: 1) }
    withKnownIssue { expectClose([1], [.nan], relative: 1) }
    withKnownIssue { expectClose([1], [1, 1]) }
    withKnownIssue { expectClose([0], [1e-9]) }
    expectClose([0], [1e-9], absolute: 1e-8)
  }

  @Test func corruptsWhereItIsTold() {
    #expect(corrupting([1, 2, 3], at: 1) == [1, 0xFD, 3])
    #expect(corrupting([1, 2, 3], at: 1, with: [9, 9]) == [1, 9, 9])
  }

  @Test func removesTemporaryFoldersAndNothingThatTheyLinkTo() throws {
    let outside = try TemporaryFolder()
    try outside.write("x", to: "keep")
    var path = ""
    do {
      let folder = try TemporaryFolder()
      path = folder.path
      try folder.write("x", to: "a/b/c/file")
      try folder.link("a/link", to: outside.path)
      #expect(PathKind(of: path) == .folder)
    }
    #expect(PathKind(of: path) == .missing)
    #expect(PathKind(of: outside.path("keep")) == .file(byteCount: 1))
  }

  @Test func readsSafetensorsOfEveryType() throws {
    let folder = try TemporaryFolder()
    let header = """
      {"__metadata__":{"k":"8"},\
      "a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},\
      "b":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},\
      "c":{"dtype":"F16","shape":[4],"data_offsets":[16,24]},\
      "d":{"dtype":"BF16","shape":[1],"data_offsets":[24,26]},\
      "e":{"dtype":"U8","shape":[],"data_offsets":[26,27]},\
      "f":{"dtype":"I32","shape":[0],"data_offsets":[27,27]}}
      """
    var writer = ByteWriter()
    writer.integer(UInt64(header.utf8.count))
    writer.append(header.utf8)
    writer.float(1.5)
    writer.float(-2)
    writer.integer(Int64(-7))
    for half in [0x3C00, 0xC000, 0x0001, 0xFC00] as [UInt16] { writer.integer(half) }
    writer.integer(UInt16(0xBF80))
    writer.integer(UInt8(200))
    let fixture = try Fixture(at: folder.write(writer.bytes, to: "x.safetensors"))
    #expect(fixture.metadata == ["k": "8"])
    #expect(try fixture["a"] == FixtureTensor(shape: [2, 1], floats: [1.5, -2], integers: []))
    #expect(try fixture["b"].integers == [-7])
    #expect(try fixture["c"].floats == [1, -2, 0x1p-24, -.infinity])
    #expect(try fixture["d"].floats == [-1])
    #expect(try fixture["e"].integers == [200])
    #expect(try fixture["f"].shape == [0])
    #expect(throws: InputError.self) { try fixture["g"] }
  }
}
