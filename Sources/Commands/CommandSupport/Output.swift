import Glibc
package import TensorCore

/// Writes text to a file descriptor, whole.
private func writeAll(_ text: String, to descriptor: Int32) -> Bool {
  var bytes = Array(text.utf8)[...]
  while !bytes.isEmpty {
    let written = unsafe bytes.withUnsafeBytes {
      unsafe write(descriptor, $0.baseAddress, $0.count)
    }
    if written < 0 {
      if errno == EINTR { continue }
      return false
    }
    bytes = bytes.dropFirst(written)
  }
  return true
}

/// Where results go.
package enum StandardOutput {
  /// Writes at once; a reader that went away ends the program quietly, as pipes expect.
  package static func write(_ text: String) {
    if !writeAll(text, to: STDOUT_FILENO) {
      if errno == EPIPE { exit(1) }
      StandardError.write("error: standard output: \(unsafe String(cString: strerror(errno)))\n")
      exit(1)
    }
  }

  package static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }
}

/// Where everything else goes.
package enum StandardError {
  package static func write(_ text: String) { _ = writeAll(text, to: STDERR_FILENO) }

  package static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }
}

/// Where prompts come from when none is given.
package enum StandardInput {
  package static var isTerminal: Bool { isatty(STDIN_FILENO) == 1 }

  /// Everything up to the end.
  ///
  /// - Throws: `InputError` if it cannot be read or is not UTF-8.
  package static func readAll() throws(InputError) -> String {
    let name = "standard input"
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe read(STDIN_FILENO, $0.baseAddress, $0.count)
      }
      if count < 0, errno == EINTR { continue }
      if count < 0 { throw InputError(name, "cannot be read: \(errorText(errno))") }
      if count == 0 {
        guard let text = String(validating: bytes, as: UTF8.self) else {
          throw InputError(name, "is not UTF-8 text")
        }
        return text
      }
      bytes += buffer[..<count]
    }
  }
}

/// Progress: on a terminal one line that is rewritten, elsewhere a plain line now and then.
package final class ProgressLine {
  private let label: String
  private let isShown: Bool
  private let isTerminal = StandardError.isTerminal
  private let clock = ContinuousClock()
  /// When the first share was known; what was done before took other time.
  private var start: (share: Double, time: ContinuousClock.Instant)?
  private var written: ContinuousClock.Instant
  private var last = ""

  // Often enough to see that something moves, seldom enough for a log.
  private static let plainInterval = Duration.seconds(30)

  package init(_ label: String, isQuiet: Bool) {
    self.label = label
    isShown = !isQuiet
    written = clock.now
  }

  /// Shows `share` (0...1) done, and the time that is left at this pace.
  ///
  /// - Parameters:
  ///   - isStart: whether this share was done before, in other time.
  ///   - detail: what is being done, for people.
  package func update(
    _ share: Double, isStart: Bool = false, _ detail: @autoclosure () -> String = ""
  ) {
    guard isShown else { return }
    let now = clock.now
    let start = isStart ? (share: share, time: now) : start ?? (share: share, time: now)
    self.start = start
    guard isTerminal || now - written >= Self.plainInterval else { return }
    let percent = Int((min(max(share, 0), 1) * 100).rounded())
    var text = "\(label) \(percent) %"
    let detail = detail()
    if !detail.isEmpty { text += ", \(detail)" }
    let done = share - start.share
    if done > 0.02 {
      let left = (now - start.time) * ((1 - share) / done)
      text += ", \(left.components.seconds) s left"
    }
    guard text != last else { return }
    last = text
    written = now
    StandardError.write(isTerminal ? "\r\u{1B}[K\(text)" : text + "\n")
  }

  /// Clears the line.
  package func finish() {
    if isShown, isTerminal { StandardError.write("\r\u{1B}[K") }
  }
}
