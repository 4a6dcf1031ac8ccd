import Glibc
import TensorCore

/// The largest resident size of this process so far, in bytes.
package func peakMemoryBytes() -> Int {
  var usage = rusage()
  guard unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
  return usage.ru_maxrss * 1024
}

/// `value` with enough digits to compare runs, as JSON wants it.
package func rounded(_ value: Double, _ places: Int = 6) -> Double {
  var scale = 1.0
  for _ in 0..<places { scale *= 10 }
  return (value * scale).rounded() / scale
}

/// `text` in lines of at most `width` characters, broken at spaces; all but the first are indented.
package func wrapped(_ text: String, width: Int = 96, indent: Int = 2) -> String {
  var lines = [""]
  for word in text.split(separator: " ") {
    if lines[lines.count - 1].count + word.count >= width, !lines[lines.count - 1].isEmpty {
      lines.append(String(repeating: " ", count: indent) + word)
    } else {
      lines[lines.count - 1] += (lines[lines.count - 1].isEmpty ? "" : " ") + word
    }
  }
  return lines.joined(separator: "\n") + "\n"
}
