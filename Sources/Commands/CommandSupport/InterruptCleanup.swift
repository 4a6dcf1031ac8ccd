import Glibc
import Synchronization

/// What happens when the user interrupts the program: a half-written file is removed, and work that
/// can go on later ends where it can.
package enum InterruptCleanup {
  // A handler may only touch these and call `unlink`, `write` and `_exit`.
  private static let path = Atomic<UInt>(0)
  private static let message = Atomic<UInt>(0)
  private static let isPatient = Atomic<Bool>(false)
  private static let received = Atomic<Int32>(0)

  /// Unlinks `pending` on SIGINT, SIGTERM and SIGHUP; nil if there is nothing to remove.
  package static func removeOnSignal(_ pending: String?) {
    guard let pending, let copy = unsafe strdup(pending) else { return }
    path.store(UInt(bitPattern: copy), ordering: .sequentiallyConsistent)
    install()
  }

  /// Says `text` on SIGINT, SIGTERM and SIGHUP; nil if there is nothing to say.
  package static func sayOnSignal(_ text: String?) {
    guard let text, let copy = unsafe strdup(text) else { return }
    message.store(UInt(bitPattern: copy), ordering: .sequentiallyConsistent)
    install()
  }

  /// Runs `work`, during which the first signal only sets `signal`; a second ends the program.
  package static func deferring<R>(_ work: () throws -> R) rethrows -> R {
    isPatient.store(true, ordering: .sequentiallyConsistent)
    defer { isPatient.store(false, ordering: .sequentiallyConsistent) }
    install()
    return try work()
  }

  /// The signal that came during `deferring`; nil if none did.
  package static var signal: Int32? {
    let number = received.load(ordering: .sequentiallyConsistent)
    return number == 0 ? nil : number
  }

  /// Ends the program with one line when a page of a mapped file cannot be read: the file was cut off
  /// meanwhile, or its disk failed, which the system tells by a signal.
  package static func endOnLostPages() {
    Glibc.signal(SIGBUS) { _ in
      InterruptCleanup.removePending()
      let words: StaticString =
        "error: a file was cut off, or its disk failed, while the program was reading it\n"
      _ = unsafe write(STDERR_FILENO, words.utf8Start, words.utf8CodeUnitCount)
      _exit(65)
    }
  }

  private static func removePending() {
    let address = path.load(ordering: .sequentiallyConsistent)
    if let name = unsafe UnsafePointer<CChar>(bitPattern: address) { unsafe unlink(name) }
  }

  private static func install() {
    for number in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(number) {
      Glibc.signal(number) { number in
        let isFirst =
          InterruptCleanup.received.exchange(number, ordering: .sequentiallyConsistent) == 0
        if isFirst, InterruptCleanup.isPatient.load(ordering: .sequentiallyConsistent) { return }
        InterruptCleanup.removePending()
        let words = InterruptCleanup.message.load(ordering: .sequentiallyConsistent)
        if let words = unsafe UnsafePointer<CChar>(bitPattern: words) {
          _ = unsafe write(STDERR_FILENO, words, strlen(words))
        }
        _exit(128 + number)
      }
    }
  }

  /// Whether the program was started to outlive this signal, as `nohup` does.
  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    guard unsafe sigaction(number, nil, &action) == 0 else { return false }
    // SIG_IGN, which Swift cannot import.
    return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
  }
}
