import CSystem
import Glibc

/// Owns one region of memory: a file mapping, or bytes copied to the heap, which are read-only; or
/// reserved address space that its owner fills.
///
/// The only owner of raw memory outside the kernels.  Everything that refers to its bytes
/// (`TensorView`, spans) keeps the region alive.
@safe package final class ByteRegion: Sendable {
  /// The file that is mapped, or a label for heap bytes; for messages.
  package let name: String
  package let byteCount: Int
  private nonisolated(unsafe) let base: UnsafeRawPointer
  private let storage: Storage

  private enum Storage {
    case file
    case anonymousMapping
    case reserved
    case heap
  }

  /// Maps the regular file at `path`, private and read-only.
  ///
  /// - Throws: `InputError` if the path is not a readable, regular, non-empty file.
  package convenience init(mapping path: String) throws(InputError) {
    let descriptor = unsafe vtw_open_read(path)
    guard descriptor >= 0 else { throw InputError(path, errorText(-descriptor)) }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw InputError(path, errorText(errno)) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw InputError(
        path,
        status.st_mode & S_IFMT == S_IFDIR
          ? "is a folder, not a file" : "is not a regular file")
    }
    guard status.st_size > 0 else { throw InputError(path, "is empty") }
    try self.init(mapping: descriptor, byteCount: Int(status.st_size), name: path)
  }

  /// Maps the first `byteCount` (> 0) bytes of an open file, private and read-only.
  package init(mapping descriptor: Int32, byteCount: Int, name: String) throws(InputError) {
    guard let address = unsafe mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0),
      unsafe address != MAP_FAILED
    else { throw InputError(name, "cannot be mapped: \(errorText(errno))") }
    self.name = name
    self.byteCount = byteCount
    unsafe base = UnsafeRawPointer(address)
    storage = .file
  }

  /// Reads the first `byteCount` (> 0) bytes of an open file into memory of its own, which later
  /// changes of the file do not touch.
  package init(reading descriptor: Int32, byteCount: Int, name: String) throws(InputError) {
    // Not the heap: an allocation that fails must be an error, not a trap.
    guard
      let address = unsafe mmap(
        nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      unsafe address != MAP_FAILED
    else { throw InputError(name, "\(byteCount) bytes of memory: \(errorText(errno))") }
    self.name = name
    self.byteCount = byteCount
    unsafe base = UnsafeRawPointer(address)
    storage = .anonymousMapping
    var done = 0
    while done < byteCount {
      let count = unsafe pread(descriptor, address + done, byteCount - done, off_t(done))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        throw InputError(
          name, count < 0 ? errorText(errno) : "ends at byte \(done); it had \(byteCount)")
      }
      done += count
    }
  }

  /// Reserves `byteCount` (> 0) bytes of address space, which read as zero; only pages that are
  /// filled take memory.
  package init(reserving byteCount: Int, name: String) throws(InputError) {
    guard
      let address = unsafe mmap(
        nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      unsafe address != MAP_FAILED
    else { throw InputError(name, "\(byteCount) bytes of address space: \(errorText(errno))") }
    self.name = name
    self.byteCount = byteCount
    unsafe base = UnsafeRawPointer(address)
    storage = .reserved
  }

  /// Copies `bytes` to byte `offset` of reserved address space.
  ///
  /// The caller must be the only user of these bytes meanwhile.
  package func fill(_ offset: Int, with bytes: [UInt8]) {
    precondition(
      storage == .reserved && offset >= 0 && bytes.count <= byteCount - offset,
      "\(bytes.count) bytes at \(offset) of \(byteCount)")
    unsafe bytes.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe UnsafeMutableRawPointer(mutating: base + offset)
        .copyMemory(from: start, byteCount: source.count)
    }
  }

  /// Copies `bytes` into memory aligned to 64 bytes.
  package init(copying bytes: [UInt8], name: String = "memory") {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: max(bytes.count, 1), alignment: 64)
    unsafe bytes.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe memory.copyMemory(from: start, byteCount: source.count)
    }
    self.name = name
    byteCount = bytes.count
    unsafe base = UnsafeRawPointer(memory)
    storage = .heap
  }

  deinit {
    switch storage {
    case .file, .anonymousMapping, .reserved:
      unsafe munmap(UnsafeMutableRawPointer(mutating: base), byteCount)
    case .heap: unsafe base.deallocate()
    }
  }

  /// All bytes.
  package var bytes: RawSpan {
    @_lifetime(borrow self) get {
      let span = unsafe RawSpan(_unsafeStart: base, byteCount: byteCount)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The address of byte `offset`, for kernels; valid while the region lives.
  @unsafe package func address(at offset: Int) -> UnsafeRawPointer {
    precondition(offset >= 0 && offset <= byteCount, "offset \(offset) outside \(byteCount) bytes")
    return unsafe base + offset
  }

  /// A private copy of `range`, which must lie inside the region.
  package func copy(_ range: Range<Int>) -> [UInt8] {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
    return unsafe Array(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
  }

  /// The UTF-8 text in `range`, which must lie inside the region; nil if it is none.
  package func text(in range: Range<Int>) -> String? {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
    return unsafe String(
      validating: UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count),
      as: UTF8.self)
  }

  /// Asks the kernel to read the pages of `range` ahead.
  package func willNeed(_ range: Range<Int>) {
    guard storage == .file else { return }
    unsafe vtw_will_need(address(at: range.lowerBound), range.count)
  }

  /// Reads the pages of `range` into memory and maps them, where the system can (Linux 5.14).
  package func populate(_ range: Range<Int>) {
    guard storage == .file else { return }
    unsafe vtw_populate(address(at: range.lowerBound), range.count)
  }

  /// Gives back the resident pages inside `range`; a later touch reads them again, or zeros where
  /// address space was reserved.
  package func dropPages(_ range: Range<Int>) {
    guard storage == .file || storage == .reserved else { return }
    unsafe vtw_drop_pages(address(at: range.lowerBound), range.count)
  }
}

/// The system's text for `code`, such as "No such file or directory".
package func errorText(_ code: Int32) -> String {
  unsafe String(cString: strerror(code))
}
