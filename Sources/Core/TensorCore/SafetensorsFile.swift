/// A mapped safetensors file: a JSON header that names the tensors, then their bytes.
///
/// Every number of the header is checked when the file is opened: the tensors fill the rest of the
/// file without gap, overlap or tail, and each range is as long as its type and shape say.
package struct SafetensorsFile: Sendable {
  package let region: ByteRegion
  /// By name.
  package let tensors: [String: SourceTensor]
  /// The free texts of `__metadata__`.
  package let metadata: [String: String]

  /// Caps on the header, in line with the format's own limit of 100 MB.
  private enum Limit {
    static let headerBytes = 100_000_000
    static let tensors = 200_000
    static let rank = 8
    /// Values per tensor: the entry, its type, shape and range, all extents and both offsets.
    static let json = JSONLimits(
      byteCount: headerBytes, depth: 8, valueCount: tensors * (6 + rank) + 10_000,
      stringByteCount: 16 << 20, memberCount: tensors + 1)
  }

  package init(mapping path: String) throws(InputError) {
    try self.init(ByteRegion(mapping: path))
  }

  package init(_ region: ByteRegion) throws(InputError) {
    self.region = region
    let file = region.name
    let header = try Self.header(of: region)
    let dataStart = 8 + header.byteCount
    let dataCount = region.byteCount - dataStart

    var metadata: [String: String] = [:]
    var entries: [(name: String, entry: Entry)] = []
    for (name, value) in header.object.members {
      if name == "__metadata__" {
        metadata = try Self.metadata(value, file: file)
      } else {
        guard entries.count < Limit.tensors else {
          throw InputError(file, "has more than \(Limit.tensors) tensors")
        }
        entries.append((name, try Entry(value, name: name, file: file)))
      }
    }
    entries.sort { ($0.entry.begin, $0.entry.end) < ($1.entry.begin, $1.entry.end) }

    var tensors: [String: SourceTensor] = [:]
    var position = 0
    for (name, entry) in entries {
      guard entry.begin == position else {
        throw InputError(
          file,
          """
          tensor '\(printable(name))' begins at byte \(entry.begin) of the data; \
          the one before it ends at \(position)
          """)
      }
      guard entry.end <= dataCount else {
        throw InputError(
          file,
          """
          tensor '\(printable(name))' ends at byte \(entry.end) of the data, but there are only \
          \(dataCount): the file is cut off or damaged
          """)
      }
      let range = dataStart + entry.begin..<dataStart + entry.end
      guard
        let tensor = SourceTensor(
          name: name, region: region, range: range, type: entry.type, shape: entry.shape)
      else {
        throw InputError(
          file,
          """
          tensor '\(printable(name))' has \(range.count) bytes; \
          \(entry.type.rawValue) \(entry.shape) needs \
          \(entry.type.byteCount(of: entry.shape).map(String.init) ?? "an impossible number")
          """)
      }
      // The header's keys differ in their bytes; as texts they may still be equal.
      guard tensors.updateValue(tensor, forKey: name) == nil else {
        throw InputError(file, "has two tensors named '\(printable(name))'")
      }
      position = entry.end
    }
    guard position == dataCount else {
      throw InputError(
        file, "has \(dataCount) bytes of data, but its tensors end at byte \(position)")
    }
    self.tensors = tensors
    self.metadata = metadata
  }

  /// The header's object and its size in bytes.
  private static func header(
    of region: ByteRegion
  ) throws(InputError) -> (object: JSONObject, byteCount: Int) {
    let file = region.name
    try region.refuseLFSPointer()
    guard region.byteCount >= 8 else {
      throw InputError(
        file, "has \(region.byteCount) bytes; a safetensors file begins with 8 for its header size")
    }
    var reader = ByteReader(region.copy(0..<8), file: file, what: "header size")
    let size = try reader.integer(UInt64.self)
    guard size <= UInt64(Limit.headerBytes) else {
      throw InputError(
        file,
        """
        header size is \(size), more than the limit of \(Limit.headerBytes): \
        this is not a safetensors file
        """)
    }
    let byteCount = Int(size)
    guard byteCount <= region.byteCount - 8 else {
      throw InputError(
        file,
        """
        header size is \(byteCount), but only \(region.byteCount - 8) bytes follow: \
        the file is cut off or damaged
        """)
    }
    let bytes = region.copy(8..<8 + byteCount)
    region.dropPages(8..<8 + byteCount)
    let header: JSONValue
    do {
      header = try JSONValue(parsing: bytes, limits: Limit.json)
    } catch {
      throw InputError(
        file, "header is not valid JSON at byte \(8 + error.offset): \(error.problem)")
    }
    guard let object = header.objectValue else {
      throw InputError(file, "header is \(header.kind); an object is expected")
    }
    return (object, byteCount)
  }

  private static func metadata(
    _ value: JSONValue, file: String
  ) throws(InputError) -> [String: String] {
    guard let object = value.objectValue else {
      throw InputError(file, "__metadata__ is \(value.kind); an object is expected")
    }
    var metadata: [String: String] = [:]
    for (key, value) in object.members {
      guard let text = value.stringValue else {
        throw InputError(
          file, "__metadata__ '\(printable(key))' is \(value.kind); a string is expected")
      }
      metadata[key] = text
    }
    return metadata
  }

  /// What the header says of one tensor: `begin` and `end` count from the start of the data.
  private struct Entry {
    let type: SourceType
    let shape: Shape
    let begin: Int
    let end: Int

    init(_ value: JSONValue, name: String, file: String) throws(InputError) {
      func error(_ problem: String) -> InputError {
        InputError(file, "tensor '\(printable(name))': \(problem)")
      }
      guard value.objectValue != nil else {
        throw error("its entry is \(value.kind); an object is expected")
      }
      guard let typeName = value["dtype"]?.stringValue else {
        throw error("'dtype' is missing or not a string")
      }
      guard let type = SourceType(rawValue: typeName) else {
        throw error("unknown dtype '\(printable(typeName, limit: 40))'")
      }
      guard let extents = value["shape"]?.arrayValue else {
        throw error("'shape' is missing or not an array")
      }
      guard extents.count <= Limit.rank else {
        throw error("has \(extents.count) dimensions; at most \(Limit.rank) are allowed")
      }
      var dimensions: [Int] = []
      for extent in extents {
        guard let extent = extent.integerValue, extent >= 0 else {
          throw error("'shape' holds something else than sizes")
        }
        dimensions.append(extent)
      }
      guard let offsets = value["data_offsets"]?.arrayValue, offsets.count == 2,
        let begin = offsets[0].integerValue, let end = offsets[1].integerValue,
        begin >= 0, begin <= end
      else { throw error("'data_offsets' is not a range [begin, end]") }
      self.type = type
      self.shape = Shape(dimensions)
      self.begin = begin
      self.end = end
    }
  }
}
