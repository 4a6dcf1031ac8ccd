import TensorCore

/// The first 128 bytes of a file.
struct FileHeader: Equatable {
  var fileSize: Int
  /// Feature bits that a reader must know, and those that it may ignore.
  var need: UInt64 = 0
  var may: UInt64 = 0
  var sectionCount: Int
  /// Alignment of weight sections, a power of two.
  var page = VTWMLayout.pageSize
  /// Alignment of tensors inside them, a power of two.
  var tensorAlignment = VTWMLayout.tensorAlignment
  /// SHA-256 over what the model is (`SectionInfo.contentID`).
  var contentID: [UInt8]
  var tableCRC: UInt32

  var tableSize: Int { sectionCount * VTWMLayout.sectionEntrySize }

  var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.append(VTWMLayout.magic)
    writer.integer(VTWMLayout.major)
    writer.integer(VTWMLayout.minor)
    writer.integer(UInt32(VTWMLayout.headerSize))
    writer.integer(UInt64(fileSize))
    writer.integer(need)
    writer.integer(may)
    writer.integer(UInt64(VTWMLayout.headerSize))
    writer.integer(UInt32(sectionCount))
    writer.integer(UInt32(VTWMLayout.sectionEntrySize))
    writer.integer(UInt32(page))
    writer.integer(UInt32(tensorAlignment))
    writer.append(contentID)
    writer.zeros(24)
    writer.integer(tableCRC)
    writer.integer(CRC32(of: writer.bytes).value)
    return writer.bytes
  }
}

extension FileHeader {
  /// Reads and checks the header of a file that really has `size` bytes.
  init(decoding bytes: [UInt8], file: String, size: Int) throws(InputError) {
    func refuse(_ problem: String) -> InputError { InputError(file, problem) }
    var reader = ByteReader(bytes, file: file, what: "header")
    let magic = Array(try reader.take(8))
    guard magic == VTWMLayout.magic else { throw refuse(Self.describe(wrongMagic: magic)) }
    guard CRC32(of: Array(bytes[..<VTWMLayout.headerCRCOffset])).value == Self.storedCRC(bytes)
    else { throw refuse("header: checksum is wrong; the file is damaged") }

    let major = try reader.integer(UInt16.self)
    _ = try reader.integer(UInt16.self)
    guard major == VTWMLayout.major else {
      throw refuse(
        "has format version \(major); this build reads version \(VTWMLayout.major)"
          + (major > VTWMLayout.major ? " (a newer vtwrun is needed)" : ""))
    }
    let headerSize = try reader.integer(UInt32.self)
    guard headerSize == VTWMLayout.headerSize else {
      throw refuse("header: its size is \(headerSize); \(VTWMLayout.headerSize) expected")
    }
    let fileSize = try reader.integer(UInt64.self)
    guard fileSize == UInt64(size) else {
      throw refuse(
        "has \(size) bytes, but was written with \(fileSize); "
          + (fileSize > UInt64(size) ? "the copy is incomplete" : "something was appended"))
    }
    need = try reader.integer()
    may = try reader.integer()
    let unknown = need & ~VTWMLayout.Need.known
    guard unknown == 0 else {
      throw refuse(
        "needs feature \(unknown.trailingZeroBitCount), which this build does not know"
          + " (a newer vtwrun is needed)")
    }
    let tableOffset = try reader.integer(UInt64.self)
    guard tableOffset == VTWMLayout.headerSize else {
      throw refuse(
        "header: the section table starts at byte \(tableOffset);"
          + " \(VTWMLayout.headerSize) expected")
    }
    let count = try reader.integer(UInt32.self)
    let entrySize = try reader.integer(UInt32.self)
    guard entrySize == VTWMLayout.sectionEntrySize else {
      throw refuse(
        "header: section entries have \(entrySize) bytes; \(VTWMLayout.sectionEntrySize) expected")
    }
    let room = (size - VTWMLayout.headerSize) / VTWMLayout.sectionEntrySize
    guard count >= 1, count <= min(VTWMLimits.sections, room) else {
      throw refuse(
        "header: \(count) sections; 1...\(min(VTWMLimits.sections, room)) can be in \(size) bytes")
    }
    let page = Int(try reader.integer(UInt32.self))
    guard VTWMLimits.pages.contains(page), page.nonzeroBitCount == 1 else {
      throw refuse("header: page size \(page) is not a power of two in 4096...2097152")
    }
    let alignment = Int(try reader.integer(UInt32.self))
    guard (VTWMLayout.tensorAlignment...page).contains(alignment), alignment.nonzeroBitCount == 1
    else {
      throw refuse("header: tensor alignment \(alignment) is not a power of two in 64...\(page)")
    }
    self.fileSize = size
    sectionCount = Int(count)
    self.page = page
    tensorAlignment = alignment
    contentID = Array(try reader.take(32))
    try reader.reserved(24)
    tableCRC = try reader.integer()
  }

  private static func storedCRC(_ bytes: [UInt8]) -> UInt32 {
    bytes[VTWMLayout.headerCRCOffset...].reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private static func describe(wrongMagic magic: [UInt8]) -> String {
    // What a transfer as text, or through 7 bits, makes of the magic.
    let endings: [[UInt8]] = [[0x0A, 0x1A, 0x0A], [0x0D, 0x0A, 0x1A, 0x0D], [0x0D, 0x0D, 0x0A]]
    let isVTW = magic[1...].starts(with: [0x56, 0x54, 0x57])
    if isVTW && (magic[0] == 0x09 || endings.contains { magic[4...].starts(with: $0) }) {
      return "was damaged by a transfer in text mode; copy it again in binary mode"
    }
    return "is not a .vtwm file (its first bytes are \(hexadecimal(magic)))"
  }
}
