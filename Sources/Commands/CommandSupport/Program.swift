package import ArgumentParser
import Glibc
import TensorCore

/// A program of the family: one line per error.
///
/// It exits with 0 if all is fine, 64 if the command line is wrong, 65 if a file that was given
/// cannot be used, and 1 for the rest, such as a full disk.
package enum Program {
  package static let version = "0.1.0"

  /// Parses the command line, runs `command`, and exits.
  package static func run<C: ParsableCommand>(_ command: C.Type) -> Never {
    // A reader that goes away or a file-size limit shall end in an error that we report.
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
    InterruptCleanup.endOnLostPages()
    do {
      var parsed = try C.parseAsRoot()
      try parsed.run()
    } catch let error as InputError {
      StandardError.write("error: \(error)\n")
      exit(error.isOutput ? 1 : 65)
    } catch {
      C.exit(withError: error)
    }
    exit(0)
  }
}
