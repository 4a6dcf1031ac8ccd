package import TensorCore

/// A mapped GGUF file: typed metadata, then named tensors.
///
/// Every number is checked when the file is opened: counts against the bytes that are left, sizes
/// against the format's limits, and tensors lie in the file without overlap.
package struct GGUFFile: Sendable {
  package let region: ByteRegion
  package let metadata: GGUFMetadata
  /// In the order of the file.
  package let tensors: [SourceTensor]

  /// Of a model, in one file or many.
  static let tensorLimit = 200_000

  private enum Limit {
    static let keys = 65_536
    static let keyBytes = 65_535
    /// Keys and strings outside arrays, together; they are kept in memory.
    static let textBytes = 64 << 20
    static let nameBytes = 64
    static let dimensions = 4
    static let alignment = 8...65_536
    /// Name length, one dimension, type and offset; a key with a type and one byte.
    static let smallestTensor = 8 + 4 + 8 + 4 + 8
    static let smallestKey = 8 + 4 + 1
  }

  package init(mapping path: String) throws(InputError) {
    try self.init(ByteRegion(mapping: path))
  }

  package init(_ region: ByteRegion) throws(InputError) {
    self.region = region
    try region.refuseLFSPointer()
    var reader = GGUFReader(region)
    try Self.checkStart(&reader)
    let tensorCount = try reader.count(
      "tensors", atMost: Self.tensorLimit, smallest: Limit.smallestTensor)
    let keyCount = try reader.count("keys", atMost: Limit.keys, smallest: Limit.smallestKey)

    var values: [ExactString: GGUFValue] = [:]
    var textBytes = 0
    for _ in 0..<keyCount {
      let key = try reader.string("key", atMost: Limit.keyBytes)
      let what = "'\(printable(key))'"
      let value = try reader.value(what)
      textBytes += key.utf8.count
      if case .string(let text) = value { textBytes += text.utf8.count }
      guard textBytes <= Limit.textBytes else {
        throw reader.error("has more than \(Limit.textBytes) bytes of text in its metadata")
      }
      guard values.updateValue(value, forKey: ExactString(key)) == nil else {
        throw reader.error("\(what) is there twice")
      }
    }
    metadata = GGUFMetadata(region: region, values: values)
    let alignment = try metadata.integer("general.alignment", in: Limit.alignment) ?? 32
    guard alignment.nonzeroBitCount == 1 else {
      throw InputError(
        region.name, "'general.alignment' is \(alignment); a power of two is expected")
    }
    var entries: [Entry] = []
    var names: Set<ExactString> = []
    for _ in 0..<tensorCount {
      let entry = try Entry(&reader, alignment: alignment)
      guard names.insert(ExactString(entry.name)).inserted else {
        throw reader.error("has two tensors named '\(printable(entry.name))'")
      }
      entries.append(entry)
    }
    let dataStart = roundedUp(reader.offset, to: alignment) ?? reader.offset
    tensors = try Self.place(entries, from: dataStart, in: region)
  }

  /// Magic bytes and version.
  private static func checkStart(_ reader: inout GGUFReader) throws(InputError) {
    guard reader.remaining >= 4, try reader.bytes(4).elementsEqual("GGUF".utf8) else {
      throw InputError(reader.file, "is not a GGUF file: it does not begin with 'GGUF'")
    }
    let version: UInt32 = try reader.integer()
    guard version & 0xFFFF != 0 else {
      throw InputError(
        reader.file,
        "is a GGUF file of the other byte order (big-endian), which is not supported")
    }
    guard version == 2 || version == 3 else {
      throw InputError(
        reader.file, "is of GGUF version \(version); versions 2 and 3 are supported")
    }
  }

  /// What the file says of one tensor.
  private struct Entry {
    let name: String
    let format: BlockFormat
    let shape: Shape
    let byteCount: Int
    /// From the start of the data.
    let offset: Int

    init(_ reader: inout GGUFReader, alignment: Int) throws(InputError) {
      let name = try reader.string("tensor name", atMost: Limit.nameBytes)
      let shown = "tensor '\(printable(name))'"
      let rank: UInt32 = try reader.integer()
      guard (1...Limit.dimensions).contains(Int(rank)) else {
        throw reader.error("\(shown) has \(rank) dimensions; 1...\(Limit.dimensions) expected")
      }
      var dimensions: [Int] = []
      for _ in 0..<rank {
        let size: UInt64 = try reader.integer()
        guard size > 0, let size = Int(exactly: size) else {
          throw reader.error("\(shown) has a dimension of \(size)")
        }
        dimensions.insert(size, at: 0)  // the file has the row length first
      }
      let number: UInt32 = try reader.integer()
      switch GGUFBlocks.entry(number) {
      case .format(let format): self.format = format
      case .removed:
        throw reader.error("\(shown) is of type \(number), which was removed from GGUF")
      case .unknown: throw reader.error("\(shown) is of type \(number), which is not known")
      }
      shape = Shape(dimensions)
      // A vector counts as a column, so only plain numbers make one.
      let rowLength = rank == 1 ? 1 : dimensions[dimensions.count - 1]
      guard rowLength.isMultiple(of: format.elementCount) else {
        throw reader.error(
          "\(shown) \(shape) has rows of \(rowLength); \(format.name) comes in blocks of "
            + "\(format.elementCount)")
      }
      guard let byteCount = format.byteCount(of: shape) else {
        throw reader.error("\(shown) \(shape) has an impossible number of bytes")
      }
      self.name = name
      self.byteCount = byteCount
      let offset: UInt64 = try reader.integer()
      guard offset.isMultiple(of: UInt64(alignment)) else {
        throw reader.error("\(shown) is at \(offset) of the data, no multiple of \(alignment)")
      }
      guard let offset = Int(exactly: offset) else {
        throw reader.error("\(shown) is at \(offset) of the data")
      }
      self.offset = offset
    }
  }

  private static func place(
    _ entries: [Entry], from dataStart: Int, in region: ByteRegion
  ) throws(InputError) -> [SourceTensor] {
    var tensors: [SourceTensor] = []
    for entry in entries {
      let name = printable(entry.name)
      guard let begin = checkedSum(dataStart, entry.offset),
        let end = checkedSum(begin, entry.byteCount), end <= region.byteCount
      else {
        throw InputError(
          region.name,
          "tensor '\(name)' has \(entry.byteCount) bytes from \(entry.offset) of the data on, but "
            + "there are only \(max(region.byteCount - dataStart, 0)): the file is cut off or "
            + "damaged")
      }
      guard
        let tensor = SourceTensor(
          name: entry.name, region: region, range: begin..<end, format: entry.format,
          shape: entry.shape)
      else { preconditionFailure("'\(name)' \(entry.shape) was checked") }
      tensors.append(tensor)
    }
    let sorted = tensors.sorted { $0.range.lowerBound < $1.range.lowerBound }
    for (a, b) in zip(sorted, sorted.dropFirst()) where a.range.upperBound > b.range.lowerBound {
      throw InputError(
        region.name, "tensors '\(printable(a.name))' and '\(printable(b.name))' overlap")
    }
    return tensors
  }
}
