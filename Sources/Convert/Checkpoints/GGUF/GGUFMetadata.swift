package import TensorCore

/// A value of a GGUF file's metadata.
package enum GGUFValue: Equatable, Sendable {
  case integer(Int)
  case float(Double)
  case bool(Bool)
  case string(String)
  case array(GGUFArray)

  /// What it is, for messages.
  package var kind: String {
    switch self {
    case .integer: "an integer"
    case .float: "a floating-point number"
    case .bool: "a boolean"
    case .string: "a string"
    case .array: "an array"
    }
  }
}

/// An array that stays in the file until it is asked for; its values were walked over and fit.
package struct GGUFArray: Equatable, Sendable {
  let kind: GGUFKind
  package let count: Int
  /// Where its values lie in the file.
  let range: Range<Int>
}

/// The metadata of a GGUF file, read key by key; errors name file, key and value.
package struct GGUFMetadata: Sendable {
  private let region: ByteRegion
  private let values: [ExactString: GGUFValue]

  /// An array is taken into memory as a whole; the largest vocabularies have a tenth of this.
  private static let arrayBytes = 64 << 20

  package init(region: ByteRegion, values: [ExactString: GGUFValue]) {
    self.region = region
    self.values = values
  }

  package var file: String { region.name }

  package subscript(key: String) -> GGUFValue? { values[ExactString(key)] }

  func error(_ problem: String) -> InputError { InputError(file, problem) }

  func error(_ key: String, _ problem: String) -> InputError {
    InputError(file, "'\(printable(key))' \(problem)")
  }

  private func mismatch(_ key: String, _ value: GGUFValue, _ expected: String) -> InputError {
    error(key, "is \(value.kind); \(expected) is expected")
  }

  package func string(_ key: String, atMost limit: Int = 1 << 20) throws(InputError) -> String? {
    guard let value = self[key] else { return nil }
    guard case .string(let text) = value else { throw mismatch(key, value, "a string") }
    guard text.utf8.count <= limit else {
      throw error(key, "has \(text.utf8.count) bytes; at most \(limit) are supported")
    }
    return text
  }

  /// The value that `table` gives to the name in `key`, or to `fallback` without one.
  func choice<Value>(
    _ key: String, default fallback: String, of table: [(String, Value)]
  ) throws(InputError) -> Value {
    let name = try string(key, atMost: 255) ?? fallback
    guard let match = table.first(where: { $0.0 == name }) else {
      let names = table.map(\.0).joined(separator: ", ")
      throw error(key, "is '\(printable(name, limit: 60))', which is not supported (\(names) are)")
    }
    return match.1
  }

  package func bool(_ key: String) throws(InputError) -> Bool? {
    guard let value = self[key] else { return nil }
    guard case .bool(let flag) = value else { throw mismatch(key, value, "a boolean") }
    return flag
  }

  package func integer(
    _ key: String, in range: ClosedRange<Int>
  ) throws(InputError) -> Int? {
    guard let value = self[key] else { return nil }
    guard case .integer(let number) = value else { throw mismatch(key, value, "an integer") }
    try check(number, key, in: range)
    return number
  }

  private func check(
    _ number: Int, _ key: String, in range: ClosedRange<Int>
  ) throws(InputError) {
    guard range.contains(number) else {
      throw error(key, "is \(number); \(range.lowerBound)...\(range.upperBound) is expected")
    }
  }

  /// As `integer`; the key must be there.
  func required(_ key: String, in range: ClosedRange<Int>) throws(InputError) -> Int {
    guard let number = try integer(key, in: range) else { throw error(key, "is missing") }
    return number
  }

  /// A number that some files write once per layer, always the same.
  func perLayer(_ key: String, in range: ClosedRange<Int>) throws(InputError) -> Int? {
    guard case .array = self[key] else { return try integer(key, in: range) }
    let numbers = try integers(key, atMost: Limit.layers) ?? []
    guard let first = numbers.first, numbers.allSatisfy({ $0 == first }) else {
      throw error(key, "differs between layers, which is not supported")
    }
    try check(first, key, in: range)
    return first
  }

  /// A number above 0 that is a normal `Float`.
  func positive(_ key: String) throws(InputError) -> Float? {
    guard let value = self[key] else { return nil }
    guard case .float(let number) = value else {
      throw mismatch(key, value, "a floating-point number")
    }
    guard number > 0, Float(number).isNormal else {
      throw error(key, "is \(number); a number above 0 is expected")
    }
    return Float(number)
  }

  /// The epsilon of a norm, above 0 and at most 1.
  func epsilon(_ key: String) throws(InputError) -> Float {
    guard let value = try positive(key) else { throw error(key, "is missing") }
    guard value <= 1 else { throw error(key, "is \(value); at most 1 is expected") }
    return value
  }

  private func array(
    _ key: String, atMost limit: Int, _ expected: String, _ isOfKind: (GGUFKind) -> Bool
  ) throws(InputError) -> GGUFArray? {
    guard let value = self[key] else { return nil }
    // An empty array may be of any type.
    guard case .array(let array) = value, isOfKind(array.kind) || array.count == 0 else {
      throw mismatch(key, value, "an array of \(expected)")
    }
    guard array.count <= limit else {
      throw error(key, "has \(array.count) entries; at most \(limit) are supported")
    }
    guard array.range.count <= Self.arrayBytes else {
      throw error(key, "has \(array.range.count) bytes; at most \(Self.arrayBytes) are supported")
    }
    return array
  }

  package func strings(_ key: String, atMost limit: Int) throws(InputError) -> [String]? {
    guard let array = try array(key, atMost: limit, "strings", { $0 == .string }) else {
      return nil
    }
    var reader = GGUFReader(region, at: array.range.lowerBound)
    var texts: [String] = []
    texts.reserveCapacity(array.count)
    for _ in 0..<array.count { texts.append(try reader.string("an entry of '\(key)'")) }
    return texts
  }

  package func integers(_ key: String, atMost limit: Int) throws(InputError) -> [Int]? {
    let kinds: [GGUFKind] = [.u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64]
    guard let array = try array(key, atMost: limit, "integers", kinds.contains) else { return nil }
    var reader = GGUFReader(region, at: array.range.lowerBound)
    var numbers: [Int] = []
    numbers.reserveCapacity(array.count)
    for _ in 0..<array.count {
      guard case .integer(let number) = try reader.scalar(array.kind, key) else {
        throw error(key, "has an entry that is too large")
      }
      numbers.append(number)
    }
    return numbers
  }

  package func floats(_ key: String, atMost limit: Int) throws(InputError) -> [Double]? {
    guard let array = try array(key, atMost: limit, "numbers", { $0 == .f32 || $0 == .f64 })
    else { return nil }
    var reader = GGUFReader(region, at: array.range.lowerBound)
    var numbers: [Double] = []
    numbers.reserveCapacity(array.count)
    for _ in 0..<array.count {
      if case .float(let number) = try reader.scalar(array.kind, key) { numbers.append(number) }
    }
    return numbers
  }
}
