import Glibc

/// The control groups that bound this process: its own and those above them.
package struct ControlGroups: Sendable {
  private let root: String

  /// - Parameter root: the folder that stands for "/".
  package init(root: String = "") { self.root = root }

  /// What the groups of `controller` say, from the innermost to the outermost.
  ///
  /// - Parameters:
  ///   - unified: reads the folder of a group of version 2; nil for one without a limit.
  ///   - legacy: the same for version 1, where each controller has folders of its own.
  package func limits(
    of controller: String, unified: (String) -> Double?, legacy: (String) -> Double?
  ) -> [Double] {
    var limits: [Double] = []
    for line in systemLines("\(root)/proc/self/cgroup") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let isUnified = parts[1].isEmpty
      guard isUnified || parts[1].split(separator: ",").contains(Substring(controller)) else {
        continue
      }
      var group = parts[2].split(separator: "/").map(String.init)
      // Inside a container the names of outer groups lead nowhere, and its own group is the top.
      let top = "\(root)/sys/fs/cgroup" + (isUnified ? "" : "/\(controller)")
      while true {
        let folder = ([top] + group).joined(separator: "/")
        if let limit = isUnified ? unified(folder) : legacy(folder) { limits.append(limit) }
        if group.isEmpty { break }
        group.removeLast()
      }
    }
    return limits
  }
}

/// The lines of a small system file; none if it cannot be read.
package func systemLines(_ path: String) -> [String] {
  guard let file = unsafe fopen(path, "re") else { return [] }
  defer { unsafe fclose(file) }
  var bytes = [UInt8](repeating: 0, count: 16384)
  let count = unsafe bytes.withUnsafeMutableBytes {
    unsafe fread($0.baseAddress, 1, $0.count, file)
  }
  return String(decoding: bytes[..<count], as: UTF8.self)
    .split(separator: "\n").map(String.init)
}
