import TensorCore

/// A bounds-checked little-endian cursor over a mapped GGUF file.
///
/// Unlike `ByteReader` it copies nothing, as the end of the metadata is not known beforehand; what
/// it passed once it checks again when it comes back.
struct GGUFReader {
  private let region: ByteRegion
  private(set) var offset: Int

  enum Limit {
    static let stringBytes = 32 << 20
    static let arrayEntries = 1 << 24
    static let arrayStrings = 1 << 21
    static let nesting = 4
    /// Metadata and the table of tensors end before this byte: what is walked over takes time, and
    /// memory while it is mapped.  The largest vocabularies have a tenth of it.
    static let metadataBytes = 256 << 20
  }

  init(_ region: ByteRegion, at offset: Int = 0) {
    self.region = region
    self.offset = offset
  }

  var file: String { region.name }
  var remaining: Int { region.byteCount - offset }

  /// An error at the current offset.
  func error(_ problem: String) -> InputError {
    InputError(file, "\(problem) (at byte \(offset))")
  }

  mutating func bytes(_ count: Int) throws(InputError) -> [UInt8] {
    try skip(count)
    return region.copy(offset - count..<offset)
  }

  mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self) throws(InputError) -> T {
    let size = T.bitWidth / 8
    try skip(size)
    return unsafe T(
      littleEndian: region.address(at: offset - size).loadUnaligned(as: T.self))
  }

  private mutating func skip(_ count: Int) throws(InputError) {
    guard count <= remaining else {
      throw error("ends early: \(count) bytes wanted, \(remaining) left")
    }
    guard count <= Limit.metadataBytes - offset else {
      throw error("has more than \(Limit.metadataBytes) bytes before its tensors")
    }
    offset += count
  }

  /// A u64 count of things of at least `smallest` bytes each.
  mutating func count(
    _ what: String, atMost limit: Int, smallest: Int
  ) throws(InputError) -> Int {
    let number: UInt64 = try integer()
    guard number <= UInt64(limit) else {
      throw error("has \(number) \(what); at most \(limit) are supported")
    }
    guard Int(number) <= remaining / smallest else {
      throw error("has \(number) \(what), more than its \(remaining) bytes left can hold")
    }
    return Int(number)
  }

  /// A u64 length and so many bytes of UTF-8.
  mutating func string(
    _ what: String, atMost limit: Int = Limit.stringBytes
  ) throws(InputError) -> String {
    let start = offset
    let range = try stringRange(what, atMost: limit)
    guard let text = region.text(in: range) else {
      offset = start
      throw error("\(what) is not UTF-8")
    }
    return text
  }

  /// Where the bytes of a string lie.
  private mutating func stringRange(
    _ what: String, atMost limit: Int
  ) throws(InputError) -> Range<Int> {
    let size: UInt64 = try integer()
    guard size <= UInt64(limit) else {
      throw error("\(what) has \(size) bytes; at most \(limit) are supported")
    }
    guard Int(size) <= remaining else {
      throw error("\(what) has \(size) bytes, but only \(remaining) are left")
    }
    try skip(Int(size))
    return offset - Int(size)..<offset
  }

  private mutating func kind(_ what: String) throws(InputError) -> GGUFKind {
    let number: UInt32 = try integer()
    guard let kind = GGUFKind(rawValue: number) else {
      throw error("\(what) is of type \(number), which is not known")
    }
    return kind
  }

  /// A type and a value of it; arrays are only walked over.
  mutating func value(_ what: String) throws(InputError) -> GGUFValue {
    let kind = try kind(what)
    guard kind == .array else { return try scalar(kind, what) }
    let start = offset
    let (element, count) = try skipArray(what, depth: 1)
    return .array(GGUFArray(kind: element, count: count, range: start + 12..<offset))
  }

  mutating func scalar(_ kind: GGUFKind, _ what: String) throws(InputError) -> GGUFValue {
    switch kind {
    case .u8: return .integer(Int(try integer(UInt8.self)))
    case .i8: return .integer(Int(try integer(Int8.self)))
    case .u16: return .integer(Int(try integer(UInt16.self)))
    case .i16: return .integer(Int(try integer(Int16.self)))
    case .u32: return .integer(Int(try integer(UInt32.self)))
    case .i32: return .integer(Int(try integer(Int32.self)))
    case .i64: return .integer(Int(try integer(Int64.self)))
    case .u64:
      let value: UInt64 = try integer()
      return Int(exactly: value).map { .integer($0) } ?? .float(Double(value))
    case .f32: return .float(Double(Float(bitPattern: try integer())))
    case .f64: return .float(Double(bitPattern: try integer()))
    case .bool:
      let byte: UInt8 = try integer()
      guard byte <= 1 else { throw error("\(what) is a boolean of value \(byte)") }
      return .bool(byte == 1)
    case .string: return .string(try string(what))
    case .array: throw error("\(what) is an array inside an array")
    }
  }

  private mutating func skipArray(
    _ what: String, depth: Int
  ) throws(InputError) -> (GGUFKind, Int) {
    guard depth <= Limit.nesting else {
      throw error("\(what) has more than \(Limit.nesting) levels of arrays")
    }
    let element = try kind(what)
    let limit = element == .string ? Limit.arrayStrings : Limit.arrayEntries
    let count = try count("entries in \(what)", atMost: limit, smallest: element.smallestSize)
    switch element {
    case .string:
      for _ in 0..<count { _ = try stringRange(what, atMost: Limit.stringBytes) }
    case .array:
      for _ in 0..<count { _ = try skipArray(what, depth: depth + 1) }
    default: try skip(count * element.smallestSize)
    }
    return (element, count)
  }
}

/// The types of metadata; raw values are those of the file.
enum GGUFKind: UInt32 {
  case u8, i8, u16, i16, u32, i32, f32, bool, string, array, u64, i64, f64

  /// Bytes of a value; of the shortest one for strings and arrays.
  var smallestSize: Int {
    switch self {
    case .u8, .i8, .bool: 1
    case .u16, .i16: 2
    case .u32, .i32, .f32: 4
    case .u64, .i64, .f64, .string: 8
    case .array: 12
    }
  }
}
