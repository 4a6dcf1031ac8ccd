import Glibc
import TensorCore
import TestSupport
import Testing

@Suite struct ReadAheadTests {
  private let files: [ReadAhead.Part]

  /// Two files of 4 MiB each.
  init() throws {
    let folder = try TemporaryFolder()
    files = try ["a", "b"].map { name in
      let bytes = [UInt8](repeating: 7, count: 4 << 20)
      return (try ByteRegion(mapping: folder.write(bytes, to: name)), 0..<bytes.count)
    }
  }

  private func resident(_ file: Int) throws -> Int {
    try residentPages(files[file].region, files[file].bytes)
  }

  @Test func mapsThePagesOfAllParts() throws {
    #expect(try resident(0) == 0 && resident(1) == 0)
    ReadAhead(files, byteLimit: 1 << 30).run()
    #expect(try resident(0) == 1024 && resident(1) == 1024)
  }

  @Test func mapsNoMoreThanTheLimit() throws {
    ReadAhead(files, byteLimit: -1).run()
    #expect(try resident(0) == 0 && resident(1) == 0)
    ReadAhead([files[1], files[0]], byteLimit: 4 << 20).run()
    #expect(try resident(0) == 0 && resident(1) == 1024)
    // The system may map a few pages around the last one.
    ReadAhead(files, byteLimit: 1 << 20).run()
    let some = try resident(0)
    #expect(some >= 256 && some < 1024, "\(some)")
  }

  @Test func fillsSmallGaps() throws {
    let (one, two) = (files[0].region, files[1].region)
    func pieces(_ parts: [ReadAhead.Part]) -> [Range<Int>] {
      ReadAhead(parts, byteLimit: 1 << 30).pieces.map(\.bytes)
    }
    let (head, gap) = (0..<10, 1 << 20)
    #expect(pieces([(one, head), (one, 10 + gap..<2 << 20)]) == [0..<2 << 20])
    #expect(pieces([(one, head), (one, 11 + gap..<2 << 20)]) == [head, 11 + gap..<2 << 20])
    // Backwards, and in another file.
    #expect(pieces([(one, 10..<20), (one, head)]) == [10..<20, head])
    #expect(pieces([(one, head), (two, 10..<20)]) == [head, 10..<20])
    #expect(pieces([(one, 0..<20 << 20)]).map(\.count) == [8 << 20, 8 << 20, 4 << 20])
  }

  @Test func mapsNothingOnceStopped() throws {
    let reading = ReadAhead(files, byteLimit: 1 << 30)
    reading.stop()
    reading.run()
    #expect(try resident(0) == 0 && resident(1) == 0)
  }

  @Test func worksOnAThreadOfItsOwn() throws {
    // Dropped at once: the thread keeps what it needs.
    ReadAhead(files, byteLimit: 1 << 30).start()
    for _ in 0..<10_000 where try resident(1) < 1024 { usleep(1000) }
    #expect(try resident(0) == 1024 && resident(1) == 1024)
  }
}

@Suite struct UsableMemoryTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func isWhatTheSystemHasAvailable() throws {
    #expect(UsableMemory.byteCount(root: folder.path) == 0)
    try folder.write(
      "MemTotal:  900 kB\nMemFree:  10 kB\nMemAvailable:  500 kB\n", to: "proc/meminfo")
    #expect(UsableMemory.byteCount(root: folder.path) == 500 << 10)
    #expect(UsableMemory.byteCount() > 1 << 20)
  }

  @Test func staysWithinTheControlGroups() throws {
    try folder.write("MemAvailable: 900000 kB\n", to: "proc/meminfo")
    try folder.write("4:cpu,memory:/a\n1:pids:/p\n0::/x/y\n", to: "proc/self/cgroup")
    #expect(UsableMemory.byteCount(root: folder.path) == 900_000 << 10)
    try folder.write("max\n", to: "sys/fs/cgroup/x/y/memory.max")
    #expect(UsableMemory.byteCount(root: folder.path) == 900_000 << 10)
    try folder.write("700000\n", to: "sys/fs/cgroup/x/memory.max")
    #expect(UsableMemory.byteCount(root: folder.path) == 700_000)
    try folder.write("600000\n", to: "sys/fs/cgroup/memory/memory.limit_in_bytes")
    #expect(UsableMemory.byteCount(root: folder.path) == 600_000)
    // A group of no concern, and one beside ours.
    try folder.write("5\n", to: "sys/fs/cgroup/pids/p/memory.max")
    try folder.write("5\n", to: "sys/fs/cgroup/x/z/memory.max")
    #expect(UsableMemory.byteCount(root: folder.path) == 600_000)
  }
}
