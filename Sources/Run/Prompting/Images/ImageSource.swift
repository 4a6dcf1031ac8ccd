package import TensorCore

/// Where the bytes of an encoded image lie; they are read when they are wanted, so that a thousand
/// images do not fill the memory.
package struct ImageSource: Equatable, Sendable {
  private enum Storage: Equatable, Sendable {
    case file(String)
    case part(file: String, range: Range<Int>, isBase64: Bool)
    case memory([UInt8])
  }

  /// What messages call the image: its path, or the member of an archive.
  package let name: String
  private let storage: Storage

  /// A file of its own.
  package init(path: String) {
    name = path
    storage = .file(path)
  }

  /// Part of a file, such as a member of an archive.
  ///
  /// - Parameters:
  ///   - range: the bytes, from the start of the file.
  ///   - isBase64: whether the bytes are the base64 text of the image.
  package init(in file: String, range: Range<Int>, isBase64: Bool = false, name: String) {
    self.name = name
    storage = .part(file: file, range: range, isBase64: isBase64)
  }

  /// Bytes that are here already.
  package init(bytes: [UInt8], name: String) {
    self.name = name
    storage = .memory(bytes)
  }

  /// The encoded image.
  ///
  /// - Throws: `InputError` if the file is gone, shorter than it was, or holds more than an image
  ///   may have.
  package func bytes() throws(InputError) -> [UInt8] {
    switch storage {
    case .memory(let bytes): return bytes
    case .file(let path):
      let file = try ByteRegion(mapping: path)
      try Self.check(file.byteCount, name)
      return file.copy(0..<file.byteCount)
    case .part(let path, let range, let isBase64):
      try Self.check(range.count, name)
      let file = try ByteRegion(mapping: path)
      guard range.upperBound <= file.byteCount else {
        throw InputError(
          name, "ends at byte \(range.upperBound), but the file now has \(file.byteCount) bytes")
      }
      guard isBase64 else { return file.copy(range) }
      return try decodeBase64(Span<UInt8>(_bytes: file.bytes), range, name: name)
    }
  }

  private static func check(_ byteCount: Int, _ name: String) throws(InputError) {
    guard byteCount <= mostBytes else {
      throw InputError(name, "has \(byteCount) bytes; an image has at most \(mostBytes)")
    }
  }

  /// 1 GiB: more than the largest accepted picture takes in any of the formats.
  package static let mostBytes = 1 << 30
}

extension RGBImage {
  /// Reads and decodes the image, turned upright.
  package init(_ source: ImageSource) throws(InputError) {
    try self.init(decoding: source.bytes(), name: source.name)
  }
}
