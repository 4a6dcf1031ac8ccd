package import Architecture
package import TensorCore

/// What section TDIR says of one tensor.
package struct TensorInfo: Equatable, Sendable {
  package let key: TensorKey
  /// The name in the file, for people; the key is what counts.
  package let name: String
  package let encoding: Encoding
  package let shape: Shape
  /// From the start of the file.
  package let byteRange: Range<Int>
  /// The number type of the source, such as "BF16" or "Q4_K"; "unknown" if it was not told.
  package let sourceType: String
  /// CRC-32 of the bytes in the file.
  package let crc: UInt32
  /// CRC-32 of the source's bytes; 0 if it was not told.
  package let sourceCRC: UInt32
}

/// Number types of sources.  The file holds 1 + the type's number in GGUF; 0 is unknown.
enum SourceType {
  static let unknown = "unknown"

  /// By number in GGUF; nil where a number was never used or was withdrawn.
  private static let names: [String?] = [
    "F32", "F16", "Q4_0", "Q4_1", nil, nil, "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K",
    "Q4_K", "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
    "IQ2_S", "IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16", nil, nil, nil, "TQ1_0",
    "TQ2_0", nil, nil, nil, "MXFP4", "NVFP4", "Q1_0", "Q2_0",
  ]

  static func code(_ name: String) -> UInt8 {
    names.firstIndex(of: name).map { UInt8($0 + 1) } ?? 0
  }

  static func name(_ code: UInt8) -> String {
    let place = Int(code) - 1
    return names.indices.contains(place) ? names[place] ?? unknown : unknown
  }
}

/// Section TDIR: one record per tensor, in the order of the file, then their names.
enum TensorDirectory {
  /// What the packer tells of a tensor, and what was computed while it was written.
  struct Record {
    var crc: UInt32 = 0
    var sourceCRC: UInt32 = 0
    var sourceType: UInt8 = 0
  }

  static func encode(_ layout: WeightLayout, _ records: [Record]) -> [UInt8] {
    let names = layout.tensors.map { Array($0.key.description.utf8) }
    var writer = ByteWriter()
    writer.integer(UInt32(layout.tensors.count))
    writer.integer(UInt32(VTWMLayout.tensorEntrySize))
    writer.integer(
      UInt64(
        VTWMLayout.tensorDirectoryHeaderSize + layout.tensors.count * VTWMLayout.tensorEntrySize))
    writer.integer(UInt32(names.reduce(0) { $0 + $1.count }))
    writer.zeros(12)
    var nameOffset = 0
    for (index, tensor) in layout.tensors.enumerated() {
      let extents = tensor.specification.shape.dimensions
      writer.integer(UInt32(nameOffset))
      writer.integer(UInt16(names[index].count))
      writer.integer(UInt8(extents.count))
      writer.integer(tensor.specification.kind.rawValue)
      writer.integer(tensor.key.role.rawValue)
      writer.integer(Int16(tensor.key.layer ?? -1))
      writer.integer(UInt16(tensor.group))
      writer.integer(tensor.layout.encoding.rawValue)
      for axis in 0..<4 { writer.integer(UInt32(axis < extents.count ? extents[axis] : 1)) }
      writer.integer(UInt64(tensor.range.lowerBound))
      writer.integer(UInt64(tensor.range.count))
      writer.integer(records[index].crc)
      writer.integer(records[index].sourceCRC)
      writer.integer(records[index].sourceType)
      writer.zeros(7)
      nameOffset += names[index].count
    }
    for name in names { writer.append(name) }
    return writer.bytes
  }

  /// Reads the directory of a model: exactly the tensors that its configuration calls for, in that
  /// order, where their encodings put them.
  ///
  /// - Parameter weights: the `WGTS` sections by instance.
  static func decode(
    _ bytes: [UInt8], configuration: ModelConfiguration, header: FileHeader,
    weights: [SectionInfo], file: String
  ) throws(InputError) -> [TensorInfo] {
    var reader = ByteReader(bytes, file: file, what: "section TDIR")
    let specifications = configuration.tensorGroups.flatMap { $0 }
    let (count, entrySize, nameSize) = try decodeHeader(&reader, size: bytes.count)
    guard count == specifications.count else {
      throw reader.error(
        "has \(count) tensors, but the model of section MODL needs \(specifications.count)")
    }
    var entries: [Entry] = []
    entries.reserveCapacity(count)
    var nameEnd = 0
    for specification in specifications {
      let entry = try Entry(decoding: &reader)
      _ = try reader.take(entrySize - VTWMLayout.tensorEntrySize)
      try entry.check(against: specification, reader)
      guard entry.nameOffset == nameEnd, entry.nameSize >= 1, entry.nameSize <= VTWMLimits.nameSize,
        entry.nameSize <= nameSize - nameEnd
      else {
        throw reader.error(
          "the name of tensor '\(specification.key)' has \(entry.nameSize) bytes from"
            + " \(entry.nameOffset) on; names lie back to back in \(nameSize) bytes")
      }
      nameEnd += entry.nameSize
      entries.append(entry)
    }
    guard nameEnd == nameSize else {
      throw reader.error("names have \(nameEnd) bytes, but \(nameSize) are there")
    }
    return try place(
      entries, names: try names(entries, &reader), configuration, header, weights, reader, file)
  }

  private static func decodeHeader(
    _ reader: inout ByteReader, size: Int
  ) throws(InputError) -> (count: Int, entrySize: Int, nameSize: Int) {
    let count = Int(try reader.integer(UInt32.self))
    guard count <= VTWMLimits.tensors else {
      throw reader.error("\(count) tensors; at most \(VTWMLimits.tensors) expected")
    }
    let entrySize = Int(try reader.integer(UInt32.self))
    guard (VTWMLayout.tensorEntrySize...VTWMLimits.entrySize).contains(entrySize) else {
      throw reader.error(
        "entries of \(entrySize) bytes; \(VTWMLayout.tensorEntrySize)..."
          + "\(VTWMLimits.entrySize) expected")
    }
    let namesOffset = try reader.integer(UInt64.self)
    let nameSize = Int(try reader.integer(UInt32.self))
    try reader.reserved(12)
    let expected = VTWMLayout.tensorDirectoryHeaderSize + count * entrySize
    guard namesOffset == UInt64(expected) else {
      throw reader.error("names start at byte \(namesOffset); \(expected) expected")
    }
    guard expected + nameSize == size else {
      throw reader.error("needs \(expected + nameSize) bytes, but has \(size)")
    }
    return (count, entrySize, nameSize)
  }

  private static func names(
    _ entries: [Entry], _ reader: inout ByteReader
  ) throws(InputError) -> [String] {
    var names: [String] = []
    var seen: Set<ExactString> = []
    for (index, entry) in entries.enumerated() {
      let name = try reader.string(entry.nameSize)
      guard !name.utf8.contains(0) else { throw reader.error("name \(index) holds a NUL") }
      guard seen.insert(ExactString(name)).inserted else {
        throw reader.error("name '\(printable(name))' stands twice")
      }
      names.append(name)
    }
    return names
  }

  /// Compares each entry's place with the one that follows from the encodings.
  private static func place(
    _ entries: [Entry], names: [String], _ configuration: ModelConfiguration,
    _ header: FileHeader, _ weights: [SectionInfo], _ reader: ByteReader, _ file: String
  ) throws(InputError) -> [TensorInfo] {
    var next = 0
    let layout = WeightLayout(configuration, alignment: header.tensorAlignment) { _ in
      defer { next += 1 }
      return entries[next].encoding
    }
    guard let layout else { throw reader.error("the tensors' sizes overflow") }
    guard layout.groupSizes.count == weights.count else {
      throw InputError(
        file, "has \(weights.count) WGTS sections, but the model needs \(layout.groupSizes.count)")
    }
    var infos: [TensorInfo] = []
    infos.reserveCapacity(entries.count)
    for (index, tensor) in layout.tensors.enumerated() {
      let entry = entries[index]
      guard entry.group == tensor.group else {
        throw reader.error(
          "tensor '\(tensor.key)' is in group \(entry.group); \(tensor.group) expected")
      }
      guard entry.byteCount == UInt64(tensor.range.count) else {
        throw reader.error(
          "tensor '\(tensor.key)' has \(entry.byteCount) bytes, but \(entry.encoding.name)"
            + " \(tensor.specification.shape) takes \(tensor.range.count)")
      }
      guard entry.offset == UInt64(tensor.range.lowerBound) else {
        throw reader.error(
          "tensor '\(tensor.key)' starts at byte \(entry.offset) of its section;"
            + " \(tensor.range.lowerBound) expected")
      }
      let section = weights[tensor.group]
      guard tensor.range.upperBound <= section.rawSize else {
        throw reader.error(
          "tensor '\(tensor.key)' ends at byte \(tensor.range.upperBound), but \(section.name) has"
            + " \(section.rawSize)")
      }
      let start = section.offset + tensor.range.lowerBound
      infos.append(
        TensorInfo(
          key: tensor.key, name: names[index], encoding: entry.encoding,
          shape: tensor.specification.shape, byteRange: start..<start + tensor.range.count,
          sourceType: SourceType.name(entry.sourceType), crc: entry.crc,
          sourceCRC: entry.sourceCRC))
    }
    for (size, section) in zip(layout.groupSizes, weights) where size != section.rawSize {
      throw InputError(
        file, "\(section.name): has \(section.rawSize) bytes; its tensors take \(size)")
    }
    return infos
  }

  private struct Entry {
    var nameOffset: Int
    var nameSize: Int
    var extents: [Int]
    var kind: UInt8
    var role: UInt16
    var layer: Int?
    var group: Int
    var encoding: Encoding
    var offset: UInt64
    var byteCount: UInt64
    var crc: UInt32
    var sourceCRC: UInt32
    var sourceType: UInt8

    init(decoding reader: inout ByteReader) throws(InputError) {
      nameOffset = Int(try reader.integer(UInt32.self))
      nameSize = Int(try reader.integer(UInt16.self))
      let rank = Int(try reader.integer(UInt8.self))
      guard (1...4).contains(rank) else {
        throw reader.error("a tensor has rank \(rank); 1...4 expected")
      }
      kind = try reader.integer()
      role = try reader.integer()
      let layer = try reader.integer(Int16.self)
      guard layer >= -1 else { throw reader.error("a tensor has layer \(layer)") }
      self.layer = layer < 0 ? nil : Int(layer)
      group = Int(try reader.integer(UInt16.self))
      let encodingCode = try reader.integer(UInt16.self)
      guard let encoding = Encoding(rawValue: encodingCode) else {
        throw reader.error(
          "a tensor has encoding \(encodingCode), which this build does not know (a newer vtwrun"
            + " may be needed)")
      }
      self.encoding = encoding
      extents = []
      for axis in 0..<4 {
        let extent = Int(try reader.integer(UInt32.self))
        guard axis < rank ? (1...VTWMLimits.dimension).contains(extent) : extent == 1 else {
          throw reader.error("a tensor's extent \(axis) is \(extent)")
        }
        if axis < rank { extents.append(extent) }
      }
      offset = try reader.integer()
      byteCount = try reader.integer()
      crc = try reader.integer()
      sourceCRC = try reader.integer()
      sourceType = try reader.integer()
      try reader.reserved(7)
    }

    func check(
      against specification: TensorSpecification, _ reader: ByteReader
    ) throws(InputError) {
      let key = specification.key
      guard role == key.role.rawValue, layer == key.layer else {
        let found =
          TensorRole(rawValue: role).map { "\(TensorKey($0, layer: layer))" }
          ?? "role \(role), layer \(layer ?? -1)"
        throw reader.error("'\(found)' stands where '\(key)' must")
      }
      guard kind == specification.kind.rawValue else {
        throw reader.error(
          "tensor '\(key)' is of kind \(kind); \(specification.kind.rawValue) expected")
      }
      guard extents == specification.shape.dimensions else {
        throw reader.error(
          "tensor '\(key)' is \(Shape(extents)); section MODL needs \(specification.shape)")
      }
      guard encoding == .f32 || specification.kind != .vector else {
        throw reader.error("tensor '\(key)' is \(encoding.name); vectors are f32")
      }
    }
  }
}
