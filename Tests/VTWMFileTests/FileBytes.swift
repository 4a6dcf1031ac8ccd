import CZlib
import Crypto
import TensorCore
import VTWMFile

/// A `.vtwm` file taken apart for changes, and put together again with fresh offsets and checksums,
/// so that a change reaches the check that it is meant for.
struct FileBytes {
  struct Section {
    /// The first 8 bytes of the entry: type, instance, codec, content.
    var identity: [UInt8]
    var alignment: UInt8
    var raw: [UInt8]
    /// What is stored instead of `raw` (compressed, if the codec says so).
    var stored: [UInt8]?
    /// What the entry says instead of the truth.
    var rawSize: Int?

    var type: String { String(decoding: identity[..<4], as: UTF8.self) }
    var isZlib: Bool { identity[6] == 1 }
  }

  /// The header without what is computed.
  var header: [UInt8]
  var sections: [Section]

  init(_ bytes: [UInt8]) throws {
    header = Array(bytes[..<128])
    sections = []
    let count = Self.integer(bytes, at: 48, size: 4)
    for index in 0..<count {
      let entry = 128 + 80 * index
      let offset = Self.integer(bytes, at: entry + 8, size: 8)
      let size = Self.integer(bytes, at: entry + 16, size: 8)
      let rawSize = Self.integer(bytes, at: entry + 24, size: 8)
      let stored = Array(bytes[offset..<offset + size])
      let isZlib = bytes[entry + 6] == 1
      sections.append(
        Section(
          identity: Array(bytes[entry..<entry + 8]), alignment: bytes[entry + 36],
          raw: isZlib ? try Self.inflate(stored, size: rawSize) : stored))
    }
  }

  subscript(_ type: String) -> Section {
    get { sections[sections.firstIndex { $0.type == type } ?? 0] }
    set { sections[sections.firstIndex { $0.type == type } ?? 0] = newValue }
  }

  /// The whole file.
  var bytes: [UInt8] {
    var table = ByteWriter()
    var body: [UInt8] = []
    let start = 128 + 80 * sections.count
    for section in sections {
      let stored = section.stored ?? (section.isZlib ? Self.deflate(section.raw) : section.raw)
      let alignment = 1 << Int(section.alignment)
      let offset = (start + body.count + alignment - 1) / alignment * alignment
      body.append(contentsOf: repeatElement(0, count: offset - start - body.count))
      body.append(contentsOf: stored)
      table.append(section.identity)
      table.integer(UInt64(offset))
      table.integer(UInt64(stored.count))
      table.integer(UInt64(section.rawSize ?? (section.isZlib ? section.raw.count : stored.count)))
      table.integer(CRC32(of: stored).value)
      table.integer(section.alignment)
      table.zeros(3)
      table.append(SHA256.hash(data: section.raw))
      table.zeros(8)
    }
    var bytes = header + table.bytes + body
    Self.put(&bytes, 16, UInt64(bytes.count))
    Self.put(&bytes, 48, UInt32(sections.count))
    Self.reseal(&bytes)
    return bytes
  }

  /// Computes content id and checksums of header and table anew, whatever they say.
  static func reseal(_ bytes: inout [UInt8], contentID: Bool = true) {
    let count = integer(bytes, at: 48, size: 4)
    let end = min(128 + 80 * count, bytes.count)
    let table = Array(bytes[128..<end])
    if contentID {
      let entries = stride(from: 0, to: table.count - table.count % 80, by: 80)
        .map { Array(table[$0..<$0 + 80]) }
        .filter { $0[0] & 0x20 == 0 }
        .sorted {
          ($0[0], $0[1], $0[2], $0[3], $0[5], $0[4]) < ($1[0], $1[1], $1[2], $1[3], $1[5], $1[4])
        }
      let content = entries.flatMap { Array($0[..<6]) + Array($0[24..<32]) + Array($0[40..<72]) }
      bytes.replaceSubrange(64..<96, with: Array(SHA256.hash(data: content)))
    }
    put(&bytes, 120, CRC32(of: table).value)
    put(&bytes, 124, CRC32(of: Array(bytes[..<124])).value)
  }

  static func put<T: FixedWidthInteger>(_ bytes: inout [UInt8], _ offset: Int, _ value: T) {
    var writer = ByteWriter()
    writer.integer(value)
    bytes.replaceSubrange(offset..<offset + writer.bytes.count, with: writer.bytes)
  }

  static func integer(_ bytes: [UInt8], at offset: Int, size: Int) -> Int {
    bytes[offset..<offset + size].reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  static func deflate(_ bytes: [UInt8]) -> [UInt8] {
    var size = compressBound(UInt(bytes.count))
    var output = [UInt8](repeating: 0, count: Int(size))
    _ = unsafe compress2(&output, &size, bytes, UInt(bytes.count), 6)
    return Array(output[..<Int(size)])
  }

  static func inflate(_ bytes: [UInt8], size: Int) throws -> [UInt8] {
    var output = [UInt8](repeating: 0, count: size)
    var written = UInt(size)
    guard unsafe uncompress(&output, &written, bytes, UInt(bytes.count)) == Z_OK else {
      throw InputError("", "a section does not inflate")
    }
    return output
  }
}

extension FileBytes.Section {
  mutating func put<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
    FileBytes.put(&raw, offset, value)
  }

  mutating func put(_ offset: Int, _ value: Float) { put(offset, value.bitPattern) }

  func integer(_ offset: Int, size: Int) -> Int { FileBytes.integer(raw, at: offset, size: size) }

  /// Replaces text that must be there, in a JSON section.
  mutating func replace(_ old: String, _ new: String) {
    let text = String(decoding: raw, as: UTF8.self)
    guard let range = text.firstRange(of: old) else { return raw = Array("no '\(old)'".utf8) }
    raw = Array(text.replacingCharacters(in: range, with: new).utf8)
  }
}

extension String {
  fileprivate func replacingCharacters(in range: Range<String.Index>, with new: String) -> String {
    String(self[..<range.lowerBound]) + new + String(self[range.upperBound...])
  }
}
