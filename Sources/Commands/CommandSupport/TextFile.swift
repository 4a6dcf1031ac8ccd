import Glibc
package import TensorCore

/// Text results that go to a file of their own.
package enum TextFile {
  /// Writes `text` to `path`, replacing a file that is there.
  ///
  /// - Throws: `InputError` naming `path` with the system's reason.
  package static func write(_ text: String, to path: String) throws(InputError) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw InputError(path, "cannot be written: \(errorText(errno))")
    }
    let isWritten = writeAll(text, to: descriptor)
    let failure = errno
    guard close(descriptor) == 0, isWritten else {
      throw InputError(path, "cannot be written: \(errorText(isWritten ? errno : failure))")
    }
  }
}
