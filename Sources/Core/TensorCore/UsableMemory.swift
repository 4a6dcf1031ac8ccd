/// How much memory this process may hope for.
package enum UsableMemory {
  /// Bytes that the system can hand out without swapping, and no more than the process's control
  /// groups allow; 0 if the system does not tell.
  ///
  /// - Parameter root: the folder that stands for "/".
  package static func byteCount(root: String = "") -> Int {
    let groups = ControlGroups(root: root).limits(
      of: "memory", unified: { number(in: "\($0)/memory.max") },
      legacy: { number(in: "\($0)/memory.limit_in_bytes") })
    return Int(min(groups.min() ?? .infinity, available(root), Double(1 << 62)))
  }

  /// "MemAvailable:   1234 kB".
  private static func available(_ root: String) -> Double {
    for line in systemLines("\(root)/proc/meminfo") {
      let words = line.split(separator: " ")
      if words.count == 3, words[0] == "MemAvailable:", let count = Double(words[1]) {
        return count * 1024
      }
    }
    return 0
  }

  /// Nil for "max", which is no number.
  private static func number(in path: String) -> Double? {
    systemLines(path).first.flatMap(Double.init)
  }
}
