import Glibc

/// A result with a file of its own, which is there whole or not at all.
package enum OutputFile {
  /// Finds out before any work whether a file could be written at `path`, as far as that shows.
  ///
  /// - Parameter inputs: files that must survive, so `path` must not name one of them.
  /// - Throws: `InputError` naming `path` if it is an input, its folder is missing, or something
  ///   other than a regular file lies there.
  package static func check(_ path: String, inputs: [String] = []) throws(InputError) {
    if try exists(path, sparing: inputs) { return }
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    guard !path.isEmpty, unsafe access(folder, W_OK) == 0 else {
      throw InputError.unwritable(path, path.isEmpty ? ENOENT : errno)
    }
  }

  /// Whether a file lies at `path` that an output would replace.
  ///
  /// - Throws: `InputError` naming `path` if it is one of `inputs`, or no regular file.
  package static func exists(_ path: String, sparing inputs: [String]) throws(InputError) -> Bool {
    var target = stat()
    guard unsafe stat(path, &target) == 0 else { return false }
    for input in inputs {
      var status = stat()
      guard unsafe stat(input, &status) == 0 else { continue }
      guard status.st_dev != target.st_dev || status.st_ino != target.st_ino else {
        throw InputError(path, "is also an input; choose another output")
      }
    }
    guard target.st_mode & S_IFMT == S_IFREG else {
      throw InputError(path, "exists and is not a regular file; choose another output")
    }
    return true
  }

  /// Writes `parts` one behind the other, replacing a file that is there once all are written.
  ///
  /// - Throws: `InputError` naming `path` with the system's reason; nothing new is left then.
  package static func write(_ parts: [[UInt8]], to path: String) throws(InputError) {
    try check(path)
    let temporary = "\(path).tmp-\(getpid())"
    guard let file = unsafe fopen(temporary, "wb") else {
      throw InputError.unwritable(path, errno)
    }
    var failure: Int32 = 0
    for part in parts where failure == 0 {
      let written = unsafe part.withUnsafeBytes { part in
        unsafe fwrite(part.baseAddress, 1, part.count, file)
      }
      if written != part.count { failure = errno }
    }
    if unsafe fclose(file) != 0, failure == 0 { failure = errno }
    if failure == 0, unsafe rename(temporary, path) != 0 { failure = errno }
    guard failure == 0 else {
      unsafe unlink(temporary)
      throw InputError.unwritable(path, failure)
    }
  }
}
