import TensorCore

/// A file that a checkpoint folder may have.
struct FolderFile {
  let path: String

  init(_ folder: String, _ name: String) { path = joined(folder, name) }

  /// All bytes, or nil if there is no such file.
  ///
  /// - Throws: `InputError` if it has more than `limit` bytes or cannot be read.
  func bytes(limit: Int = JSONLimits.configuration.byteCount) throws(InputError) -> [UInt8]? {
    isNamed(path) ? try fileBytes(at: path, limit: limit) : nil
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
