import Prompting
import SampleSets
import TensorCore
import TestSupport
import Testing

@Suite struct TarArchiveTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The header and content of one member, as POSIX describes them.
  private func member(
    _ name: String, _ content: String = "", type: Character = "0", size: Int? = nil
  ) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, at offset: Int) {
      block.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
    }
    put(name, at: 0)
    let digits = String(size ?? content.utf8.count, radix: 8)
    put(String(repeating: "0", count: 11 - digits.count) + digits, at: 124)
    put(String(type), at: 156)
    put("ustar\0" + "00", at: 257)
    put("        ", at: 148)
    let sum = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
    put(String(repeating: "0", count: 6 - sum.count) + sum + "\0", at: 148)
    var bytes = block + Array(content.utf8)
    bytes += [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
    return bytes
  }

  private let end = [UInt8](repeating: 0, count: 1024)

  private func read(_ bytes: [UInt8]) throws(InputError) -> SampleSet {
    let path = folder.path("a.tar")
    do { try folder.write(bytes, to: "a.tar") } catch { throw InputError(path, "\(error)") }
    return try SampleSet(at: path, name: "n")
  }

  private func reasons(_ bytes: [UInt8]) throws -> [String] {
    let good = member("0.png", "pixels") + member("0.json", #"{"question": "Q"}"#)
    let set = try read(good + bytes)
    #expect(set.samples.first?.question == "Q")
    return set.refused.map { "\($0.id): \($0.reason)" }
  }

  @Test func readsImagesOnDemandFromTheArchive() throws {
    let set = try read(member("b/x.png", "pixels") + member("b/x.cls", "7\n") + end)
    let sample = try #require(set.samples.first)
    #expect(sample.id == "n/a.tar:b/x")
    #expect(sample.task == "n/b")
    #expect(sample.answer == "7")
    #expect(sample.images.first?.name == "a.tar: b/x.png")
    #expect(try sample.images.first?.bytes() == Array("pixels".utf8))
    try folder.write("short", to: "a.tar")
    #expect(throws: InputError("a.tar: b/x.png", "ends at byte 518, but the file now has 5 bytes"))
    {
      try sample.images.first?.bytes()
    }
  }

  @Test func refusesGroupsThatAreNoSample() throws {
    #expect(
      try reasons(member("1.json", "{}") + end) == ["n/a.tar:1: has 0 images; one is expected"])
    #expect(
      try reasons(member("1.png", "p") + member("1.jpg", "p") + end)
        == ["n/a.tar:1: has 2 images; one is expected"])
    #expect(
      try reasons(member("1.gif", "p") + end)
        == ["n/a.tar:1: gif images are not read; JPEG, PNG and WebP are"])
    #expect(
      try reasons(member("1.png", type: "2") + end)
        == ["n/a.tar:1: its image is a symbolic link, not a file"])
    #expect(try reasons(member("1.png") + end) == ["n/a.tar:1: its image is empty"])
    #expect(
      try reasons(member("1.png", "p") + member("1.json", "{") + end)
        == ["n/a.tar:1: not valid JSON at byte 1: a key in quotes expected"])
    #expect(
      try reasons(member("1.png", "p") + member("1.json", #"{"question": 5}"#) + end)
        == ["n/a.tar:1: 'question' is an integer; a string expected"])
  }

  @Test func passesOverWhatDescribesNoSample() throws {
    let others =
      member("d/", type: "5") + member("._0.png", "mac") + member("README.md", "text")
      + member("0.seg.png", "mask")
    #expect(try reasons(others + end) == [])
  }

  @Test func stopsAtAMistakeAndSaysWhere() throws {
    #expect(
      try reasons(corrupting(member("1.png", "p"), at: 3))
        == ["n/a.tar: no header with a correct checksum at byte 2048"])
    #expect(
      try reasons(member("1.png", "p", size: 513))
        == ["n/a.tar: a member of 513 bytes does not fit into the archive at byte 2048"])
    #expect(
      try reasons(member("1.png", "p", size: 0o77777777777))
        == ["n/a.tar: a member of 8589934591 bytes does not fit into the archive at byte 2048"])
    #expect(
      try reasons([1, 2, 3]) == ["n/a.tar: the archive ends inside a header at byte 2048"])
    #expect(
      try reasons(member("x", "12 path=1\n", type: "x") + member("1.png", "p"))
        == ["n/a.tar: a pax header that cannot be read at byte 2048"])
    #expect(
      try reasons(member("x", "10 size=-\n", type: "x") + member("1.png", "p"))
        == ["n/a.tar: a pax header whose size is no number at byte 2048"])
  }

  @Test func takesASizeFromAPaxHeader() throws {
    let pax = member("x", "10 size=6\n", type: "x")
    let set = try read(pax + member("1.png", "pixels", size: 0) + end)
    #expect(try set.samples.first?.images.first?.bytes() == Array("pixels".utf8))
  }

  @Test func refusesAnImageFolderInsideAnArchive() throws {
    #expect(
      throws: InputError(
        folder.path("a.tar"),
        "holds 'set/metadata.jsonl', which is read in a folder only: unpack it")
    ) { try read(member("set/metadata.jsonl", "{}") + member("set/1.png", "p") + end) }
  }

  /// Whatever is cut off, there is one line about it or less to read, and never a trap.
  @Test func readsEveryBeginning() throws {
    let whole = try fileBytes(at: fixturePath("sample-sets/tar/gnu.tar"), limit: 1 << 20)
    for length in stride(from: 0, to: 5120, by: 37) {
      let set = try? read(Array(whole[..<length]))
      #expect((set?.samples.count ?? 0) <= 2)
      #expect((set?.refused.count ?? 0) <= 2)
    }
  }
}
