import Kernels
import TestSupport
import Testing

@Suite struct ProcessorsTests {
  private let folder: TemporaryFolder

  /// Four cores of two processors each, n and n + 4.
  init() throws {
    folder = try TemporaryFolder()
    for processor in 0..<8 {
      let core = processor % 4
      try folder.write(
        "\(core),\(core + 4)\n",
        to: "sys/devices/system/cpu/cpu\(processor)/topology/thread_siblings_list")
    }
  }

  private func processors(_ allowed: [Int] = Array(0..<8)) -> Processors {
    Processors(allowed: allowed, root: folder.path)
  }

  @Test func countsCoresAmongTheAllowed() {
    #expect(processors().cores == [0, 1, 2, 3] && processors().threadCount == 4)
    #expect(processors([1, 2, 5, 7]).cores == [1, 2, 7])
    // Without a topology each is a core; without any there is still one.
    #expect(Processors(allowed: [3, 9], root: folder.path("none")).cores == [3, 9])
    #expect(processors([]).cores == [0] && processors([]).threadCount == 1)
    let many = Processors(allowed: Array(0..<200), root: folder.path("none"))
    #expect(many.threadCount == 64)
    #expect(!Processors().cores.isEmpty)
  }

  @Test(
    arguments: [
      ("max 100000", nil), ("150000 100000", 2), ("100000 100000", 1), ("50000 100000", 1),
      ("900000 100000", 9), ("", nil), ("0 0", nil), ("x y", nil),
    ] as [(String, Int?)])
  func readsTheQuotaOfAGroup(text: String, quota: Int?) throws {
    try folder.write("0::/outer/inner\n", to: "proc/self/cgroup")
    try folder.write(text + "\n", to: "sys/fs/cgroup/outer/inner/cpu.max")
    #expect(processors().quota == quota)
    #expect(processors().threadCount == min(4, quota ?? 4))
  }

  @Test func theTightestGroupCounts() throws {
    try folder.write("2:cpu,cpuacct:/a\n0::/outer/inner\n", to: "proc/self/cgroup")
    try folder.write("400000 100000\n", to: "sys/fs/cgroup/outer/inner/cpu.max")
    try folder.write("300000 100000\n", to: "sys/fs/cgroup/outer/cpu.max")
    #expect(processors().quota == 3)
    try folder.write("-1\n", to: "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us")
    try folder.write("100000\n", to: "sys/fs/cgroup/cpu/a/cpu.cfs_period_us")
    #expect(processors().quota == 3)
    // What a container sees at the top is its own group.
    try folder.write("200000\n", to: "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    try folder.write("100000\n", to: "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    #expect(processors().quota == 2 && processors().threadCount == 2)
  }
}
