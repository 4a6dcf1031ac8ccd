import CKernels
import Glibc
import TensorCore

/// The processors that this process may use.
package struct Processors: Sendable {
  /// One processor of each physical core, ascending; never empty.
  package let cores: [Int]
  /// Whole processors' worth of time that the control groups grant, at least 1; nil for no limit.
  package let quota: Int?

  /// Threads worth starting, 1...64: more than there are cores or than the quota feeds would wait
  /// for each other.
  package var threadCount: Int { min(cores.count, quota ?? cores.count, 64) }

  /// - Parameters:
  ///   - allowed: the processors on which the process may run; nil for what the system says.
  ///   - root: the folder that stands for "/".
  package init(allowed: [Int]? = nil, root: String = "") {
    var siblings: Set<String> = []
    let cores = (allowed ?? Self.allowed).filter { processor in
      let topology = "\(root)/sys/devices/system/cpu/cpu\(processor)/topology"
      let core = systemLines("\(topology)/thread_siblings_list").first ?? "\(processor)"
      return siblings.insert(core).inserted
    }
    self.cores = cores.isEmpty ? [0] : cores
    // A part of a processor is used too: with 1.5 processors two threads do 1.4 times the work of
    // one.
    quota = ControlGroups(root: root).limits(
      of: "cpu", unified: Self.unifiedLimit, legacy: Self.legacyLimit
    ).min().map { max(1, Int($0.rounded(.up))) }
  }

  private static var allowed: [Int] {
    var flags = [UInt8](repeating: 0, count: 1024)
    let count = unsafe flags.withUnsafeMutableBufferPointer { buffer in
      unsafe buffer.baseAddress.map { unsafe vtw_allowed_processors($0, buffer.count) } ?? 0
    }
    guard count > 0 else { return Array(0..<max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))) }
    return flags.indices.filter { flags[$0] != 0 }
  }

  /// `cpu.max` holds "quota period" or "max period", in microseconds.
  private static func unifiedLimit(_ folder: String) -> Double? {
    let words = (systemLines(folder + "/cpu.max").first ?? "").split(separator: " ")
    guard words.count == 2 else { return nil }
    return limit(Double(words[0]), Double(words[1]))
  }

  /// -1 in `cpu.cfs_quota_us` is no limit.
  private static func legacyLimit(_ folder: String) -> Double? {
    limit(
      systemLines(folder + "/cpu.cfs_quota_us").first.flatMap(Double.init),
      systemLines(folder + "/cpu.cfs_period_us").first.flatMap(Double.init))
  }

  private static func limit(_ quota: Double?, _ period: Double?) -> Double? {
    guard let quota, let period, quota > 0, period > 0 else { return nil }
    return min(quota / period, 1024)
  }
}
