import CSystem
import Glibc
import TensorCore

/// A file that is being written and gets its name only when it is complete.
///
/// Where the system can, it has no name at all until then, so that even a killed process leaves
/// nothing behind; elsewhere it is `.NAME.tmp-PID` in the same folder.
final class PendingFile {
  let path: String
  let descriptor: Int32
  /// The temporary name, if there is one: what a signal handler must unlink.
  private(set) var temporaryPath: String?
  private let replaces: Bool

  /// - Parameters:
  ///   - overwrite: whether a .vtwm file at `path` may be replaced; other files never are.
  ///   - inputs: files that must survive, so `path` must not name one of them.
  init(_ path: String, overwrite: Bool, inputs: [String]) throws(InputError) {
    try Self.checkTarget(path, overwrite: overwrite, inputs: inputs)
    self.path = path
    replaces = overwrite
    var descriptor = unsafe vtw_open_nameless(Self.folder(of: path))
    if descriptor < 0 {
      // Whatever the reason, the attempt with a name tells the one that matters.
      let temporary = Self.temporaryPath(for: path)
      descriptor = unsafe vtw_create_new(temporary)
      if descriptor == -EEXIST {
        // Left by a killed process that had our number.
        unsafe unlink(temporary)
        descriptor = unsafe vtw_create_new(temporary)
      }
      guard descriptor >= 0 else {
        throw InputError(path, "cannot be written: \(errorText(-descriptor))")
      }
      temporaryPath = temporary
    }
    self.descriptor = descriptor
  }

  deinit {
    removeTemporary()
    close(descriptor)
  }

  private static func checkTarget(
    _ path: String, overwrite: Bool, inputs: [String]
  ) throws(InputError) {
    guard try OutputFile.exists(path, sparing: inputs) else { return }
    guard overwrite else {
      throw InputError(path, "exists already; choose another output or pass --force")
    }
    // Whatever else lies there, such as a tokenizer or a picture, was not meant.
    guard isEmptyOrOurs(path) else {
      throw InputError(path, "exists and is not a .vtwm file; choose another output")
    }
  }

  private static func isEmptyOrOurs(_ path: String) -> Bool {
    if case .file(byteCount: 0) = PathKind(of: path) { return true }
    return VTWMFile.hasMagic(path)
  }

  private static func folder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  private static func temporaryPath(for path: String) -> String {
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let nameStart = slash.map { path.utf8.index(after: $0) } ?? path.startIndex
    return path[..<nameStart] + "." + path[nameStart...] + ".tmp-\(getpid())"
  }

  /// Makes the file `size` bytes long and takes the room for them at once.
  func reserve(_ size: Int) throws(InputError) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw failure(errno) }
    let wanted = size - Int(status.st_blocks) * 512
    let free = vtw_free_bytes(descriptor)
    guard free < 0 || wanted <= Int(free) else {
      throw InputError(path, "needs \(wanted) bytes, but its file system has only \(free) free")
    }
    let result = vtw_reserve(descriptor, UInt64(size))
    guard result == 0 else { throw failure(-result) }
  }

  func write(_ bytes: [UInt8], at offset: Int) throws(InputError) {
    var code: Int32 = 0
    unsafe bytes.withUnsafeBytes { code = unsafe Self.write($0, to: descriptor, at: offset) }
    guard code == 0 else { throw failure(code) }
  }

  @unsafe func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(InputError) {
    let code = unsafe Self.write(bytes, to: descriptor, at: offset)
    guard code == 0 else { throw failure(code) }
  }

  /// Copies `range` of `source` to `offset`; blocks are shared where the file system can.
  func copy(_ range: Range<Int>, of source: VTWMFile, to offset: Int) throws(InputError) {
    let result = vtw_copy_range(
      source.source.descriptor, UInt64(range.lowerBound), descriptor, UInt64(offset),
      UInt64(range.count))
    if result == -ENOTSUP {
      let bytes = unsafe UnsafeRawBufferPointer(
        start: source.region.address(at: range.lowerBound), count: range.count)
      return try unsafe write(bytes, at: offset)
    }
    guard result == 0 else { throw failure(-result) }
  }

  /// 0 or the error.
  @unsafe private static func write(
    _ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int
  ) -> Int32 {
    var rest = unsafe bytes[...]
    while unsafe !rest.isEmpty {
      let chunk = unsafe UnsafeRawBufferPointer(rebasing: rest)
      let count = unsafe pwrite(
        descriptor, chunk.baseAddress, chunk.count, off_t(offset + bytes.count - rest.count))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return count < 0 ? errno : EIO }
      unsafe rest.removeFirst(count)
    }
    return 0
  }

  /// Gives the complete file its name: all its bytes are on the disk before, and the name after.
  func commit() throws(InputError) {
    guard fsync(descriptor) == 0 else { throw failure(errno) }
    if let temporaryPath {
      try rename(temporaryPath)
    } else {
      var result = unsafe vtw_link_open_file(descriptor, path)
      if result == -EEXIST && replaces {
        // A link cannot replace, so the file needs a name that a rename can move.
        let temporary = Self.temporaryPath(for: path)
        unsafe unlink(temporary)
        result = unsafe vtw_link_open_file(descriptor, temporary)
        guard result == 0 else { throw failure(-result) }
        temporaryPath = temporary
        try rename(temporary)
      } else if result != 0 {
        throw failure(-result)
      }
    }
    let folder = unsafe vtw_open_read(Self.folder(of: path))
    guard folder >= 0 else { return }
    // Some file systems cannot sync a folder; the file itself is safe.
    fsync(folder)
    close(folder)
  }

  private func rename(_ temporary: String) throws(InputError) {
    let result =
      replaces
      ? (unsafe Glibc.rename(temporary, path) == 0 ? 0 : -errno)
      : unsafe vtw_rename_new(temporary, path)
    guard result == 0 else { throw failure(-result) }
    temporaryPath = nil
  }

  private func removeTemporary() {
    guard let temporaryPath else { return }
    unsafe unlink(temporaryPath)
    self.temporaryPath = nil
  }

  private func failure(_ code: Int32) -> InputError {
    InputError(
      path,
      code == EEXIST
        ? "was created by somebody else meanwhile"
        : "cannot be written: \(errorText(code))")
  }
}
