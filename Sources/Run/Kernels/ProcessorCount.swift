import CKernels
import Glibc

/// How many threads are worth starting here.
enum ProcessorCount {
  /// Physical cores among the processors that the process may use, and no more than the whole
  /// processors that its control groups grant it; at least 1 and at most 64.
  static var usable: Int {
    let cores = physicalCores()
    return max(1, min(cores, quota() ?? cores, 64))
  }

  private static func physicalCores() -> Int {
    var allowed = [UInt8](repeating: 0, count: 1024)
    let count = unsafe allowed.withUnsafeMutableBufferPointer { buffer in
      unsafe buffer.baseAddress.map { unsafe vtw_allowed_processors($0, buffer.count) } ?? 0
    }
    var cores: Set<String> = []
    for (index, flag) in allowed.enumerated() where flag != 0 {
      let topology = "/sys/devices/system/cpu/cpu\(index)/topology/thread_siblings_list"
      cores.insert(firstLine(of: topology) ?? "\(index)")
    }
    return max(cores.count, count == 0 ? Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) : 1)
  }

  /// The tightest processor limit of the process's control group and the groups above it, rounded
  /// up; nil if there is none.
  private static func quota() -> Int? {
    var limits: [Double] = []
    for line in lines(of: "/proc/self/cgroup") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let isUnified = parts[1].isEmpty
      guard isUnified || parts[1].split(separator: ",").contains("cpu") else { continue }
      let root = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu"
      var group = parts[2].split(separator: "/")
      while true {
        let folder = ([root] + group.map(String.init)).joined(separator: "/")
        if let limit = isUnified ? unifiedLimit(folder) : legacyLimit(folder) {
          limits.append(limit)
        }
        if group.isEmpty { break }
        group.removeLast()
      }
    }
    return limits.min().map { Int($0.rounded(.up)) }
  }

  /// `cpu.max` holds "quota period" or "max period", in microseconds.
  private static func unifiedLimit(_ folder: String) -> Double? {
    let words = (firstLine(of: folder + "/cpu.max") ?? "").split(separator: " ")
    guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]),
      quota > 0, period > 0
    else { return nil }
    return min(quota / period, 1024)
  }

  private static func legacyLimit(_ folder: String) -> Double? {
    guard let quota = firstLine(of: folder + "/cpu.cfs_quota_us").flatMap(Double.init),
      let period = firstLine(of: folder + "/cpu.cfs_period_us").flatMap(Double.init),
      quota > 0, period > 0
    else { return nil }
    return min(quota / period, 1024)
  }

  private static func firstLine(of path: String) -> String? { lines(of: path).first }

  /// The lines of a small system file; none if it cannot be read.
  private static func lines(of path: String) -> [String] {
    guard let file = unsafe fopen(path, "re") else { return [] }
    defer { unsafe fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 16384)
    let count = unsafe bytes.withUnsafeMutableBytes {
      unsafe fread($0.baseAddress, 1, $0.count, file)
    }
    return String(decoding: bytes[..<count], as: UTF8.self)
      .split(separator: "\n").map(String.init)
  }
}
