import Glibc
import TensorCore

/// A fresh, empty folder that is removed with everything in it when the value dies.
package final class TemporaryFolder: Sendable {
  package let path: String

  package init() throws {
    let base = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
    var template = Array("\(base)/vtwm-test-XXXXXX".utf8CString)
    guard
      let path = unsafe template.withUnsafeMutableBufferPointer({ buffer -> String? in
        guard let start = buffer.baseAddress, let made = unsafe mkdtemp(start) else { return nil }
        return unsafe String(cString: made)
      })
    else { throw InputError(base, "no temporary folder: \(errorText(errno))") }
    self.path = path
  }

  deinit { Self.removeTree(path) }

  /// Removes `path` and what is in it, but nothing that a symbolic link leads to.
  private static func removeTree(_ path: String) {
    guard unsafe remove(path) != 0, let names = try? folderEntries(at: path) else { return }
    for name in names { removeTree("\(path)/\(name)") }
    _ = unsafe remove(path)
  }

  /// The path of `name` in the folder; nothing needs to be there.
  package func path(_ name: String) -> String { "\(path)/\(name)" }

  /// Makes the folder `name`, and those above it.
  @discardableResult
  package func makeFolder(_ name: String) throws -> String {
    var made = path
    for part in name.split(separator: "/") {
      made += "/" + part
      guard unsafe mkdir(made, 0o755) == 0 || errno == EEXIST else {
        throw InputError(made, errorText(errno))
      }
    }
    return made
  }

  /// Writes the file `name`, making the folders above it, and returns its path.
  @discardableResult
  package func write(_ bytes: [UInt8], to name: String) throws -> String {
    let parts = name.split(separator: "/")
    try makeFolder(parts.dropLast().joined(separator: "/"))
    let path = path(name)
    guard let file = unsafe fopen(path, "wb") else { throw InputError(path, errorText(errno)) }
    let written = unsafe fwrite(bytes, 1, bytes.count, file)
    guard unsafe fclose(file) == 0, written == bytes.count else {
      throw InputError(path, "not written: \(errorText(errno))")
    }
    return path
  }

  /// Writes `text` as UTF-8 to the file `name` and returns its path.
  @discardableResult
  package func write(_ text: String, to name: String) throws -> String {
    try write(Array(text.utf8), to: name)
  }

  /// Gives the file `name` the name `newName`, replacing what has it.
  package func rename(_ name: String, to newName: String) throws {
    guard unsafe Glibc.rename(path(name), path(newName)) == 0 else {
      throw InputError(path(name), errorText(errno))
    }
  }

  /// Makes `name` a symbolic link to `target`.
  package func link(_ name: String, to target: String) throws {
    guard unsafe symlink(target, path(name)) == 0 else {
      throw InputError(path(name), errorText(errno))
    }
  }

  /// Makes `name` a FIFO, which blocks whoever opens it carelessly.
  package func makeFIFO(_ name: String) throws -> String {
    guard unsafe mkfifo(path(name), 0o644) == 0 else {
      throw InputError(path(name), errorText(errno))
    }
    return path(name)
  }
}
