import CSystem
import Glibc
import TensorCore

/// A regular file that is open for reading by position; closes with its last owner.
final class OpenFile: Sendable {
  let path: String
  let descriptor: Int32
  let byteCount: Int

  /// - Throws: `InputError` unless `path` is a readable regular file; a FIFO does not block.
  init(_ path: String) throws(InputError) {
    let descriptor = unsafe vtw_open_read(path)
    guard descriptor >= 0 else { throw InputError(path, errorText(-descriptor)) }
    self.path = path
    self.descriptor = descriptor
    var status = stat()
    let result = unsafe fstat(descriptor, &status)
    byteCount = Int(status.st_size)
    guard result == 0 else { throw InputError(path, errorText(errno)) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw InputError(path, "is a folder, not a file")
    default: throw InputError(path, "is not a regular file")
    }
  }

  /// The first `byteCount` bytes of a file that is open already, under a descriptor of its own.
  init(duplicating descriptor: Int32, byteCount: Int, path: String) throws(InputError) {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    guard copy >= 0 else { throw InputError(path, errorText(errno)) }
    self.path = path
    self.descriptor = copy
    self.byteCount = byteCount
  }

  deinit { close(descriptor) }

  /// A private copy of `count` bytes from `offset` on, all inside `byteCount`.
  func read(at offset: Int, count: Int) throws(InputError) -> [UInt8] {
    var problem: String?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      while initialized < count {
        let result = unsafe pread(
          descriptor, buffer.baseAddress.map { unsafe $0 + initialized }, count - initialized,
          off_t(offset + initialized))
        if result < 0 && errno == EINTR { continue }
        guard result > 0 else {
          problem =
            result < 0 ? errorText(errno) : "was cut to \(offset + initialized) bytes meanwhile"
          return
        }
        initialized += result
      }
    }
    if let problem { throw InputError(path, problem) }
    return bytes
  }
}
