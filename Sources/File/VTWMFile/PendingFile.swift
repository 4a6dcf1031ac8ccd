import CSystem
import Glibc
import TensorCore

/// A file that is being written and gets its name only when it is complete.
///
/// Where the system can, it has no name at all until then, so that even a killed process leaves
/// nothing behind; elsewhere it is `.NAME.tmp-PID` in the same folder.  A file that another run may
/// go on with is `NAME.part` from the start, and locked while it is written.
final class PendingFile {
  let path: String
  let descriptor: Int32
  /// The temporary name, if there is one: what a signal handler must unlink.
  private(set) var temporaryPath: String?
  private let replaces: Bool
  /// Whether it is a partial file that was there already.
  let isResumed: Bool
  /// Whether it stays under its temporary name if it is never completed.
  var isKept = false

  /// What a partial file for `path` is called.
  static func partialPath(for path: String) -> String { path + ".part" }

  /// Starts a partial file, or takes the one up that is there.
  ///
  /// - Throws: `InputError` if another process writes it.
  init(
    partial path: String, overwrite: Bool, inputs: [String], resumes: Bool
  ) throws(InputError) {
    try Self.checkTarget(path, overwrite: overwrite, inputs: inputs)
    let partial = Self.partialPath(for: path)
    let isThere = try OutputFile.exists(partial, sparing: inputs)
    var descriptor: Int32 = -1
    if isThere {
      descriptor = unsafe open(partial, O_RDWR | O_CLOEXEC)
      guard descriptor >= 0 else {
        throw InputError(partial, "cannot be written: \(errorText(errno))")
      }
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        close(descriptor)
        throw InputError(partial, "is being written by another process")
      }
      if !resumes {
        unsafe unlink(partial)
        close(descriptor)
      }
    }
    if !isThere || !resumes {
      descriptor = unsafe vtw_create_new(partial)
      guard descriptor >= 0 else {
        throw InputError(path, "cannot be written: \(errorText(-descriptor))")
      }
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        close(descriptor)
        throw InputError(partial, "is being written by another process")
      }
    }
    self.path = path
    self.descriptor = descriptor
    replaces = overwrite
    isResumed = isThere && resumes
    // Nothing that another run left is lost before it is known to be of use.
    isKept = isResumed
    temporaryPath = partial
  }

  /// - Parameters:
  ///   - overwrite: whether a .vtwm file at `path` may be replaced; other files never are.
  ///   - inputs: files that must survive, so `path` must not name one of them.
  init(_ path: String, overwrite: Bool, inputs: [String]) throws(InputError) {
    try Self.checkTarget(path, overwrite: overwrite, inputs: inputs)
    self.path = path
    replaces = overwrite
    isResumed = false
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
    if !isKept { removeTemporary() }
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

  /// Drops all bytes from `size` on, of which a longer file then has zeros.
  func cut(at size: Int) throws(InputError) {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw failure(errno) }
  }

  /// Calls `body` with the bytes of `range`, piece by piece.
  ///
  /// - Returns: whether all of them are there.
  func read(_ range: Range<Int>, _ body: (ArraySlice<UInt8>) -> Void) -> Bool {
    var buffer = [UInt8](repeating: 0, count: min(1 << 20, range.count))
    var place = range.lowerBound
    while place < range.upperBound {
      let wanted = min(buffer.count, range.upperBound - place)
      let count = unsafe pread(descriptor, &buffer, wanted, off_t(place))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return false }
      body(buffer[..<count])
      place += count
    }
    return true
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

  /// Has bytes that were written go to the disk, so that little is left to do in `commit`.
  func startWriteback(_ range: Range<Int>) {
    vtw_start_writeback(descriptor, UInt64(range.lowerBound), UInt64(range.count))
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
      try checkName(temporaryPath)
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

  /// Makes sure that the temporary name is still that of this file.
  private func checkName(_ temporary: String) throws(InputError) {
    var named = stat(), mine = stat()
    guard unsafe stat(temporary, &named) == 0, unsafe fstat(descriptor, &mine) == 0,
      named.st_ino == mine.st_ino, named.st_dev == mine.st_dev
    else { throw InputError(temporary, "was removed or replaced by somebody else meanwhile") }
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
