import TensorCore

/// Four letters that say what a section holds; their case says how to treat an unknown one.
package struct SectionType: Hashable, Sendable, CustomStringConvertible {
  package let letters: String

  static let model = SectionType("MODL")
  static let tensorDirectory = SectionType("TDIR")
  static let layers = SectionType("LAYR")
  static let plan = SectionType("PLAN")
  static let imageSteps = SectionType("IPRE")
  static let weights = SectionType("WGTS")
  static let tokenizer = SectionType("TOKN")
  static let template = SectionType("cHAt")
  static let calibration = SectionType("cALB")
  static let provenance = SectionType("pROV")

  static let required = [model, tensorDirectory, layers, plan, weights, tokenizer]

  private init(_ letters: String) { self.letters = letters }

  /// Nil unless `code` is four ASCII letters, the third in upper case.
  init?(code: [UInt8]) {
    let isLetters = code.allSatisfy { (0x41...0x5A).contains($0 & ~0x20) && $0 < 0x80 }
    guard code.count == 4, isLetters, code[2] & 0x20 == 0 else { return nil }
    letters = String(decoding: code, as: UTF8.self)
  }

  /// A reader that does not know a critical section cannot use the file.
  package var isCritical: Bool { letters.utf8.first.map { $0 & 0x20 == 0 } ?? false }

  /// What the content byte must say; nil for a type of another version.
  var content: SectionInfo.Content? {
    switch self {
    case .model, .imageSteps, .template, .calibration, .provenance: .json
    case .tensorDirectory, .layers, .plan, .tokenizer: .table
    case .weights: .bytes
    default: nil
    }
  }

  package var description: String { letters }
}

/// One entry of the section table.
package struct SectionInfo: Equatable, Sendable {
  package enum Codec: UInt8, Sendable {
    case stored = 0
    case zlib = 1
  }

  package enum Content: UInt8, Sendable {
    case bytes = 0
    case json = 1
    case table = 2
  }

  package let type: SectionType
  /// Counts the sections of one type; only weights have more than one.
  package let instance: UInt16
  package let codec: Codec
  package let content: Content
  /// From the start of the file, a multiple of `1 << alignment`.
  package var offset: Int
  package let storedSize: Int
  package let rawSize: Int
  /// CRC-32 of the stored bytes.
  package let crc: UInt32
  /// Log2 of the alignment.
  package let alignment: UInt8
  /// SHA-256 of the raw bytes.
  package let sha256: [UInt8]

  package var byteRange: Range<Int> { offset..<offset + storedSize }
  package var name: String {
    type == .weights ? "section \(type) \(instance)" : "section \(type)"
  }

  func encode(to writer: inout ByteWriter) {
    writer.append(type.letters.utf8)
    writer.integer(instance)
    writer.integer(codec.rawValue)
    writer.integer(content.rawValue)
    writer.integer(UInt64(offset))
    writer.integer(UInt64(storedSize))
    writer.integer(UInt64(rawSize))
    writer.integer(crc)
    writer.integer(alignment)
    writer.zeros(3)
    writer.append(sha256)
    writer.zeros(8)
  }
}

extension SectionInfo {
  /// Reads one entry: every rule that needs no other entry.
  init(decoding reader: inout ByteReader, header: FileHeader, file: String) throws(InputError) {
    let code = Array(try reader.take(4))
    guard let type = SectionType(code: code) else {
      throw InputError(
        file,
        "section table: type \(hexadecimal(code)) is not four letters with the third in"
          + " upper case")
    }
    self.type = type
    instance = try reader.integer()
    func refuse(_ problem: String) -> InputError { InputError(file, "section \(type): \(problem)") }

    let codecCode = try reader.integer(UInt8.self)
    let contentCode = try reader.integer(UInt8.self)
    guard let codec = Codec(rawValue: codecCode) else {
      throw refuse("codec \(codecCode) is not known (a newer vtwrun may be needed)")
    }
    guard let content = Content(rawValue: contentCode), type.content ?? content == content else {
      throw refuse("content kind \(contentCode) does not fit its type")
    }
    self.codec = codec
    self.content = content
    offset = try reader.size()
    storedSize = try reader.size()
    rawSize = try reader.size()
    crc = try reader.integer()
    alignment = try reader.integer()
    try reader.reserved(3)
    sha256 = Array(try reader.take(32))
    try reader.reserved(8)

    guard VTWMLimits.alignments.contains(alignment) else {
      throw refuse("alignment 2^\(alignment) is outside 2^3...2^21")
    }
    if type == .weights {
      guard codec == .stored else { throw refuse("weights must not be compressed") }
      guard 1 << Int(alignment) >= header.page else {
        throw refuse("alignment 2^\(alignment) is less than the page size \(header.page)")
      }
    } else if type.content != nil, instance != 0 {
      throw refuse("instance \(instance); only weights have more than one")
    }
    guard storedSize <= header.fileSize else {
      throw refuse("\(storedSize) bytes do not fit the file of \(header.fileSize)")
    }
    switch codec {
    case .stored:
      guard rawSize == storedSize else {
        throw refuse("\(storedSize) bytes stored plainly cannot hold \(rawSize)")
      }
    case .zlib:
      let most = storedSize * VTWMLimits.compressionRatio + VTWMLimits.compressionSlack
      guard rawSize <= most else {
        throw refuse("\(storedSize) compressed bytes cannot hold \(rawSize)")
      }
    }
    let limit = content == .json ? VTWMLimits.json.byteCount : VTWMLimits.sectionSize
    guard type == .weights || (type.content == nil && codec == .stored) || rawSize <= limit else {
      throw refuse("\(rawSize) bytes are more than the limit of \(limit)")
    }
  }

  /// Reads the whole table: the sections lie back to back, each at the first multiple of its
  /// alignment, from the end of the table to the end of the file.
  static func table(
    decoding bytes: [UInt8], header: FileHeader, file: String
  ) throws(InputError) -> [SectionInfo] {
    guard CRC32(of: bytes).value == header.tableCRC else {
      throw InputError(file, "section table: checksum is wrong; the file is damaged")
    }
    var reader = ByteReader(bytes, file: file, what: "section table")
    var sections: [SectionInfo] = []
    var seen: Set<[UInt8]> = []
    var end = VTWMLayout.headerSize + header.tableSize
    for _ in 0..<header.sectionCount {
      let section = try SectionInfo(decoding: &reader, header: header, file: file)
      guard let start = roundedUp(end, to: 1 << Int(section.alignment)), section.offset == start
      else {
        throw InputError(
          file,
          "\(section.name): starts at byte \(section.offset); sections lie back to back, so"
            + " \(roundedUp(end, to: 1 << Int(section.alignment)) ?? end) was expected")
      }
      guard let next = checkedSum(start, section.storedSize), next <= header.fileSize else {
        throw InputError(
          file,
          "\(section.name): \(section.storedSize) bytes from byte \(start) on do not fit"
            + " the file of \(header.fileSize)")
      }
      end = next
      guard seen.insert(section.identity).inserted else {
        throw InputError(file, "\(section.name): stands twice in the section table")
      }
      guard section.type.content != nil || !section.type.isCritical else {
        throw InputError(
          file,
          "\(section.name) is needed to use this file, but this build does not know it"
            + " (a newer vtwrun is needed)")
      }
      sections.append(section)
    }
    guard end == header.fileSize else {
      throw InputError(
        file, "the last section ends at byte \(end), but the file has \(header.fileSize)")
    }
    for type in SectionType.required where !sections.contains(where: { $0.type == type }) {
      throw InputError(file, "section \(type) is missing")
    }
    return sections
  }

  /// Type and instance as they stand in the file.
  private var identity: [UInt8] {
    var writer = ByteWriter()
    writer.append(type.letters.utf8)
    writer.integer(instance)
    return writer.bytes
  }

  /// SHA-256 over type, instance, raw size and SHA-256 of each critical section, in the order of
  /// type and instance: the same for the same model, whatever compressor and provenance.
  static func contentID(_ sections: [SectionInfo]) -> [UInt8] {
    var writer = ByteWriter()
    let critical = sections.filter(\.type.isCritical).sorted {
      ($0.type.letters, $0.instance) < ($1.type.letters, $1.instance)
    }
    for section in critical {
      writer.append(section.identity)
      writer.integer(UInt64(section.rawSize))
      writer.append(section.sha256)
    }
    return SHA256Digest.of(writer.bytes)
  }
}
