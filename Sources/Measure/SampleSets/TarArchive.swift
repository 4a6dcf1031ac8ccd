import TensorCore

/// The regular files of a tar archive, found without unpacking it.
///
/// Reads POSIX `ustar` with pax headers (`path`, `size`) and GNU's with long names; other kinds of
/// members are named, so that none is lost in silence.
struct TarArchive {
  struct Member {
    /// As written, without a leading "./".
    var name: String
    /// Its bytes, from the start of the archive; empty for what is no file.
    var range: Range<Int>
    /// What it is instead of a regular file, such as "a symbolic link"; nil for files.
    var otherKind: String?
  }

  private(set) var members: [Member] = []
  /// Why the archive could not be read to its end.
  private(set) var problem: String?

  private static let blockSize = 512

  /// Whether the first block of `file` is a header with a correct checksum.
  static func isArchive(_ file: ListFile) -> Bool {
    guard file.region.byteCount >= blockSize else { return false }
    return Header(file.region.copy(0..<blockSize)) != nil
  }

  init(_ file: ListFile) {
    let region = file.region
    var offset = 0
    var nextName: String?
    var nextSize: Int?
    func stop(_ problem: String) -> String { "\(problem) at byte \(offset)" }
    while offset < region.byteCount {
      guard offset + Self.blockSize <= region.byteCount else {
        problem = stop("the archive ends inside a header")
        return
      }
      let block = region.copy(offset..<offset + Self.blockSize)
      // Two blocks of zeros end an archive; what follows them is padding.
      if block.allSatisfy({ $0 == 0 }) { return }
      guard let header = Header(block) else {
        problem = stop("no header with a correct checksum")
        return
      }
      let size = header.hasContent ? nextSize ?? header.size : 0
      let start = offset + Self.blockSize
      guard let end = checkedSum(start, size), let next = roundedUp(end, to: Self.blockSize),
        end <= region.byteCount
      else {
        problem = stop("a member of \(size) bytes does not fit into the archive")
        return
      }
      switch header.kind {
      case .longName, .pax, .globalPax, .longLink:
        guard size <= SampleLimits.sample else {
          problem = stop("a header of \(size) bytes, more than the limit of \(SampleLimits.sample)")
          return
        }
        let bytes = region.copy(start..<end)
        if header.kind == .longName {
          nextName = String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self)
        } else if header.kind == .pax {
          guard let records = Self.paxRecords(bytes) else {
            problem = stop("a pax header that cannot be read")
            return
          }
          if let path = records["path"] { nextName = path }
          if let text = records["size"] {
            guard let size = Int(text), size >= 0 else {
              problem = stop("a pax header whose size is no number")
              return
            }
            nextSize = size
          }
        }
      case .file, .other:
        guard members.count < SampleLimits.entries else {
          problem = stop("more than \(SampleLimits.entries) members")
          return
        }
        guard var name = nextName ?? header.name else {
          problem = stop("a member's name is not UTF-8")
          return
        }
        while name.hasPrefix("./") { name.removeFirst(2) }
        let otherKind: String? = if case .other(let kind) = header.kind { kind } else { nil }
        members.append(Member(name: name, range: start..<end, otherKind: otherKind))
        nextName = nil
        nextSize = nil
      }
      offset = min(next, region.byteCount)
    }
  }

  /// "LENGTH KEY=VALUE\n", LENGTH counting the whole record; nil if that is not what it is.
  private static func paxRecords(_ bytes: [UInt8]) -> [String: String]? {
    var records: [String: String] = [:]
    var rest = bytes[...]
    while !rest.isEmpty {
      guard let space = rest.firstIndex(of: UInt8(ascii: " ")),
        let length = Int(String(decoding: rest[..<space], as: UTF8.self)),
        length > space - rest.startIndex + 1, length <= rest.count
      else { return nil }
      let record = rest[space + 1..<rest.startIndex + length]
      guard record.last == UInt8(ascii: "\n"), let equals = record.firstIndex(of: UInt8(ascii: "="))
      else { return nil }
      let key = String(decoding: record[..<equals], as: UTF8.self)
      // Other records, such as times, may hold anything.
      if key == "path" || key == "size" {
        guard
          let value = String(validating: record[(equals + 1)...].dropLast(), as: UTF8.self)
        else { return nil }
        records[key] = value
      }
      rest = rest.dropFirst(length)
    }
    return records
  }
}

/// The block before a member.
private struct Header {
  enum Kind: Equatable {
    case file
    case longName
    case longLink
    case pax
    case globalPax
    case other(String)
  }

  /// Nil if it is not UTF-8.
  let name: String?
  let size: Int
  let kind: Kind
  /// Whether the size counts bytes that follow; links and folders have none, whatever they say.
  let hasContent: Bool

  /// Nil unless the checksum and the size are right.
  init?(_ block: [UInt8]) {
    // The checksum adds all bytes, its own eight taken for spaces.
    let sum = block.indices.reduce(0) {
      $0 + (148..<156 ~= $1 ? 32 : Int(block[$1]))
    }
    guard Self.number(block[148..<156]) == sum, let size = Self.number(block[124..<136]) else {
      return nil
    }
    self.size = size
    let text = Self.text(block[0..<100])
    let prefix = block[257..<263].elementsEqual("ustar\0".utf8) ? Self.text(block[345..<500]) : ""
    if let text, let prefix {
      name = prefix.isEmpty ? text : "\(prefix)/\(text)"
    } else {
      name = nil
    }
    let type = block[156]
    kind =
      switch Unicode.Scalar(type) {
      // Before POSIX a folder was a file whose name ends with a slash.
      case "0", "\0", "7": text?.hasSuffix("/") == true ? .other("a folder") : .file
      case "L": .longName
      case "K": .longLink
      case "x", "X": .pax
      case "g": .globalPax
      case "1": .other("a hard link")
      case "2": .other("a symbolic link")
      case "5": .other("a folder")
      case "S": .other("a sparse file")
      default: .other("a special file")
      }
    hasContent = !("1"..."6" ~= Unicode.Scalar(type))
  }

  private static func text(_ field: ArraySlice<UInt8>) -> String? {
    String(validating: field.prefix { $0 != 0 }, as: UTF8.self)
  }

  /// Octal digits between spaces, or GNU's big-endian binary behind a byte 0x80.
  private static func number(_ field: ArraySlice<UInt8>) -> Int? {
    if field.first == 0x80 {
      var value = 0
      for byte in field.dropFirst() {
        guard value >> 55 == 0 else { return nil }
        value = value << 8 | Int(byte)
      }
      return value
    }
    let digits = field.drop { $0 == 32 }.prefix { $0 != 0 && $0 != 32 }
    return digits.isEmpty ? 0 : Int(String(decoding: digits, as: UTF8.self), radix: 8)
  }
}
