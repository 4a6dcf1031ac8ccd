import Glibc
import TensorCore

/// A folder that is removed, with what is in it, at the end of a test.
final class TemporaryFolder {
  let path: String

  init() throws {
    var template = Array("/tmp/vtwm-tests-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw InputError("/tmp", errorText(errno)) }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    for name in names { unsafe unlink(path + "/" + name) }
    unsafe rmdir(path)
  }

  func file(_ name: String) -> String { path + "/" + name }

  /// What is in the folder.
  var names: [String] {
    guard let folder = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  @discardableResult
  func write(_ bytes: [UInt8], as name: String) throws -> String {
    let path = file(name)
    guard let stream = unsafe fopen(path, "wb") else { throw InputError(path, errorText(errno)) }
    defer { unsafe fclose(stream) }
    guard unsafe fwrite(bytes, 1, bytes.count, stream) == bytes.count else {
      throw InputError(path, errorText(errno))
    }
    return path
  }

  func read(_ name: String) throws -> [UInt8] { try readBytes(file(name)) }
}

func readBytes(_ path: String) throws(InputError) -> [UInt8] {
  var status = stat()
  if unsafe stat(path, &status) == 0 && status.st_size == 0 { return [] }
  let region = try ByteRegion(mapping: path)
  return region.copy(0..<region.byteCount)
}
