import Glibc
import Synchronization

/// Removes a half-written file when the user interrupts the program.
enum InterruptCleanup {
  // Set once before the handlers are; a handler may only read it and call `unlink` and `_exit`.
  private static let path = Atomic<UInt>(0)

  /// Unlinks `pending` on SIGINT, SIGTERM and SIGHUP; nil if there is nothing to remove.
  static func removeOnSignal(_ pending: String?) {
    guard let pending, let copy = unsafe strdup(pending) else { return }
    path.store(UInt(bitPattern: copy), ordering: .sequentiallyConsistent)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number) { number in
        let address = InterruptCleanup.path.load(ordering: .sequentiallyConsistent)
        if let name = unsafe UnsafePointer<CChar>(bitPattern: address) { unsafe unlink(name) }
        _exit(128 + number)
      }
    }
  }
}
