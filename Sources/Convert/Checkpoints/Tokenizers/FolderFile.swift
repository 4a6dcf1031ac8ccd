import Glibc
import TensorCore

/// A file that a checkpoint folder may have.
struct FolderFile {
  let path: String

  init(_ folder: String, _ name: String) {
    path = folder.isEmpty ? name : folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
  }

  var exists: Bool { unsafe access(path, F_OK) == 0 }

  /// All bytes, or nil if there is no such file.
  ///
  /// - Throws: `InputError` if it has more than `limit` bytes or cannot be read.
  func bytes(limit: Int = 64 << 20) throws(InputError) -> [UInt8]? {
    guard exists else { return nil }
    let region = try ByteRegion(mapping: path)
    guard region.byteCount <= limit else {
      throw InputError(path, "has \(region.byteCount) bytes, more than the limit of \(limit)")
    }
    return region.copy(0..<region.byteCount)
  }

  /// The file as a JSON object, or nil if there is no such file.
  func json() throws(InputError) -> (path: String, json: JSONValue)? {
    guard let bytes = try bytes() else { return nil }
    let json = try JSONValue(parsing: bytes, file: path)
    guard json.objectValue != nil else {
      throw InputError(path, "the document is \(json.kind), not an object")
    }
    return (path, json)
  }
}
