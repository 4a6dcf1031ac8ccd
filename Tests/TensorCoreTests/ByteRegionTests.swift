import Glibc
import TensorCore
import TestSupport
import Testing

@Suite struct ByteRegionTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: [1, 4095, 4096, 4097, 100_000])
  func mapsAFile(size: Int) throws {
    var random = SplitMix64(seed: UInt64(size))
    let bytes = random.bytes(size)
    let path = try folder.write(bytes, to: "file")
    let region = try ByteRegion(mapping: path)
    #expect(region.name == path)
    #expect(region.byteCount == size)
    #expect(region.copy(0..<size) == bytes)
    #expect(region.copy(size / 2..<size) == Array(bytes[(size / 2)...]))
    #expect(region.copy(size..<size).isEmpty)
  }

  @Test func readsTheSameAfterPagesWereDropped() throws {
    var random = SplitMix64(seed: 3)
    let bytes = random.bytes(50_000)
    let region = try ByteRegion(mapping: folder.write(bytes, to: "file"))
    region.willNeed(0..<50_000)
    for range in [0..<0, 0..<50_000, 1..<8193, 49_999..<50_000, 50_000..<50_000] {
      region.dropPages(range)
      region.willNeed(range)
      #expect(region.copy(0..<50_000) == bytes)
    }
  }

  @Test func droppedPagesAreOutOfMemory() throws {
    var random = SplitMix64(seed: 4)
    let bytes = random.bytes(16 * 4096)
    let region = try ByteRegion(mapping: folder.write(bytes, to: "file"))
    #expect(region.copy(0..<bytes.count) == bytes)
    #expect(try residentPages(region, 0..<bytes.count) == 16)
    // Pages 1 and 2 lie wholly inside.
    region.dropPages(4095..<3 * 4096 + 5)
    #expect(try residentPages(region, 0..<bytes.count) == 14)
    #expect(try residentPages(region, 4096..<3 * 4096) == 0)
  }

  @Test func reservedSpaceTakesMemoryWhereItIsFilled() throws {
    // More than any machine has.
    let region = try ByteRegion(reserving: 1 << 44, name: "space")
    var random = SplitMix64(seed: 5)
    let bytes = random.bytes(4 * 4096)
    let start = 1 << 40
    region.fill(start, with: bytes)
    region.fill(start + 4096 * 1024, with: [7])
    region.fill((1 << 44) - 1, with: [9])
    region.fill(1 << 44, with: [])
    #expect(region.copy(start..<start + bytes.count) == bytes)
    #expect(region.copy((1 << 44) - 2..<1 << 44) == [0, 9])
    #expect(try residentPages(region, start..<start + bytes.count) == 4)
    region.dropPages(start..<start + bytes.count)
    #expect(try residentPages(region, start..<start + bytes.count) == 0)
    #expect(region.copy(start..<start + 2) == [0, 0])
    #expect(region.copy(start + 4096 * 1024..<start + 4096 * 1024 + 1) == [7])
    #expect { try ByteRegion(reserving: 1 << 62, name: "space") } throws: {
      "\($0)".hasPrefix("space: 4611686018427387904 bytes of address space: ")
    }
  }

  @Test func keepsWhatItReadWhenTheFileChanges() throws {
    let path = try folder.write("content", to: "file")
    let descriptor = unsafe open(path, O_RDONLY)
    defer { close(descriptor) }
    let region = try ByteRegion(reading: descriptor, byteCount: 7, name: "label")
    try folder.write("CON", to: "file")
    #expect(region.copy(0..<7) == Array("content".utf8))
    #expect(region.name == "label")
    region.dropPages(0..<7)
    #expect(region.copy(0..<7) == Array("content".utf8))
    #expect(throws: InputError("label", "ends at byte 3; it had 7")) {
      try ByteRegion(reading: descriptor, byteCount: 7, name: "label")
    }
    #expect(throws: InputError.self) {
      try ByteRegion(reading: descriptor, byteCount: .max, name: "label")
    }
    #expect(throws: InputError("label", "Bad file descriptor")) {
      try ByteRegion(reading: -1, byteCount: 1, name: "label")
    }
  }

  @Test func outlivesTheNameOfItsFile() throws {
    let path = try folder.write("content", to: "file")
    let region = try ByteRegion(mapping: path)
    // A file that replaces another leaves what is mapped alone.
    try folder.write("other", to: "new")
    try folder.rename("new", to: "file")
    #expect(region.copy(0..<7) == Array("content".utf8))
  }

  @Test func copiesBytesOntoALineOfTheCache() {
    for count in [0, 1, 63, 64, 65] {
      let bytes = (0..<count).map { UInt8($0) }
      let region = ByteRegion(copying: bytes, name: "label")
      #expect(region.name == "label")
      #expect(region.byteCount == count)
      #expect(region.copy(0..<count) == bytes)
      #expect(unsafe UInt(bitPattern: region.address(at: 0)).isMultiple(of: 64))
      // Heap bytes are not the kernel's to drop.
      region.dropPages(0..<count)
      #expect(region.copy(0..<count) == bytes)
    }
  }

  @Test func refusesWhatIsNoFileWithBytes() throws {
    let missing = folder.path("missing")
    let inside = try folder.makeFolder("folder")
    let empty = try folder.write("", to: "empty")
    let pipe = try folder.makeFIFO("pipe")
    try folder.link("dangling", to: "nowhere")
    try folder.link("loop", to: "loop")
    for (path, problem) in [
      (missing, "No such file or directory"), (inside, "is a folder, not a file"),
      (empty, "is empty"), (pipe, "is not a regular file"),
      (folder.path("dangling"), "No such file or directory"),
      (folder.path("loop"), "Too many levels of symbolic links"),
      ("/dev/zero", "is not a regular file"), ("", "No such file or directory"),
      (empty + "/below", "Not a directory"),
    ] {
      let error = #expect(throws: InputError.self) { try ByteRegion(mapping: path) }
      #expect(error == InputError(path, problem))
    }
  }

  @Test func followsSymbolicLinks() throws {
    try folder.write("x", to: "file")
    try folder.link("link", to: "file")
    #expect(try ByteRegion(mapping: folder.path("link")).byteCount == 1)
  }
}
