import Glibc

/// What lies at a path, symbolic links followed.
package enum PathKind: Equatable, Sendable {
  case file(byteCount: Int)
  case folder
  /// A FIFO, a device, a socket.
  case other
  /// Nothing, or nothing that we may look at; a link to nowhere too.
  case missing

  package init(of path: String) {
    var status = Glibc.stat()
    guard unsafe stat(path, &status) == 0 else {
      self = .missing
      return
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: self = .file(byteCount: Int(status.st_size))
    case S_IFDIR: self = .folder
    default: self = .other
    }
  }
}

/// Whether something has the name `path`, be it a link to nowhere: a file that a folder may lack
/// and that cannot be read is no file that it lacks.
package func isNamed(_ path: String) -> Bool {
  var status = Glibc.stat()
  return unsafe lstat(path, &status) == 0
}

/// The names in the folder at `path` except "." and "..", sorted by their bytes.
///
/// - Parameter limit: the most names to accept.
/// - Throws: `InputError` if the folder cannot be read, holds more names, or one is not UTF-8.
package func folderEntries(
  at path: String, limit: Int = 1_000_000
) throws(InputError) -> [String] {
  guard let folder = unsafe opendir(path) else { throw InputError(path, errorText(errno)) }
  defer { unsafe closedir(folder) }
  var names: [String] = []
  while true {
    errno = 0
    guard let entry = unsafe readdir(folder) else {
      guard errno == 0 else { throw InputError(path, errorText(errno)) }
      break
    }
    let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
      unsafe String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    guard let name else { throw InputError(path, "holds a file whose name is not UTF-8") }
    if name == "." || name == ".." { continue }
    guard names.count < limit else { throw InputError(path, "holds more than \(limit) files") }
    names.append(name)
  }
  return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}

/// The bytes of the regular file at `path`, which may be empty.
///
/// - Throws: `InputError` if there is no such file or it has more than `limit` bytes.
package func fileBytes(at path: String, limit: Int) throws(InputError) -> [UInt8] {
  if case .file(byteCount: 0) = PathKind(of: path) { return [] }
  let region = try ByteRegion(mapping: path)
  guard region.byteCount <= limit else {
    throw InputError(path, "has \(region.byteCount) bytes, more than the limit of \(limit)")
  }
  return region.copy(0..<region.byteCount)
}
