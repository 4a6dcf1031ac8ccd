package import ArgumentParser
import Glibc
import TensorCore

/// A program of the family: one line per error, exit 0 fine, 64 usage, 65 bad input, 1 the rest.
package enum Program {
  package static let version = "0.1.0"

  /// Parses the command line, runs `command`, and exits.
  package static func run<C: ParsableCommand>(_ command: C.Type) -> Never {
    // A reader that goes away or a file-size limit shall end in an error that we report.
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
    do {
      var parsed = try C.parseAsRoot()
      try parsed.run()
    } catch let error as InputError {
      StandardError.write("error: \(error)\n")
      exit(65)
    } catch let error as ProgramError {
      StandardError.write("error: \(error.message)\n")
      exit(1)
    } catch {
      C.exit(withError: error)
    }
    exit(0)
  }
}

/// Something that went wrong outside the input: a full disk, a broken pipe.
package struct ProgramError: Error {
  package var message: String

  package init(_ message: String) { self.message = message }
}
