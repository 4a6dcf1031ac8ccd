import Architecture
import TensorCore

/// An object of a configuration file, read field by field; errors name file, field and value.
struct Settings {
  /// The file as the user would recognise it.
  let file: String
  /// Leads to this object from the top of the file: "" or "text_config.".
  private let place: String
  private let object: JSONValue

  /// The object at the top of the file at `path`.
  init(readingFile path: String) throws(InputError) {
    let bytes = try fileBytes(at: path, limit: JSONLimits.configuration.byteCount)
    let value = try JSONValue(parsing: bytes, file: path)
    guard value.objectValue != nil else {
      throw InputError(path, "is \(value.kind); an object is expected")
    }
    self.init(file: path, place: "", object: value)
  }

  private init(file: String, place: String, object: JSONValue) {
    self.file = file
    self.place = place
    self.object = object
  }

  /// An object without fields, as if the file had it: every default applies.
  func empty(_ key: String) -> Settings {
    Settings(file: file, place: place + key + ".", object: .object(JSONObject()))
  }

  /// An error about this file.
  func error(_ problem: String) -> InputError { InputError(file, problem) }

  /// An error about field `key`.
  func error(_ key: String, _ problem: String) -> InputError {
    InputError(file, "'\(place)\(key)' \(problem)")
  }

  /// The value of `key`; nil if it is absent or null.
  subscript(key: String) -> JSONValue? { object[key] }

  func has(_ key: String) -> Bool { object[key] != nil }

  /// Whether `key` is there and null, which is not the same as absent for some defaults.
  func isNull(_ key: String) -> Bool { object.objectValue?[key] == .null }

  /// Whether any member is itself an object.
  var holdsObjects: Bool {
    object.objectValue?.members.contains { $0.value.objectValue != nil } ?? false
  }

  func section(_ key: String) throws(InputError) -> Settings? {
    guard let value = object[key] else { return nil }
    guard value.objectValue != nil else {
      throw error(key, "is \(value.kind); an object is expected")
    }
    return Settings(file: file, place: place + key + ".", object: value)
  }

  /// All fields in the order of the file.
  var members: JSONObject { object.objectValue ?? JSONObject() }

  func array(_ key: String) throws(InputError) -> [JSONValue]? {
    guard let value = object[key] else { return nil }
    guard let items = value.arrayValue else {
      throw error(key, "is \(value.kind); an array is expected")
    }
    return items
  }

  func string(_ key: String) throws(InputError) -> String? {
    guard let value = object[key] else { return nil }
    guard let text = value.stringValue else {
      throw error(key, "is \(value.kind); a string is expected")
    }
    return text
  }

  func bool(_ key: String, default fallback: Bool) throws(InputError) -> Bool {
    guard let value = object[key] else { return fallback }
    guard let flag = value.boolValue else {
      throw error(key, "is \(value.kind); true or false is expected")
    }
    return flag
  }

  /// An integer of `range`; nil if absent or null.
  func integer(_ key: String, in range: ClosedRange<Int>) throws(InputError) -> Int? {
    guard let value = object[key] else { return nil }
    return try integer(value, key, in: range)
  }

  func integer(
    _ key: String, default fallback: Int, in range: ClosedRange<Int>
  ) throws(InputError) -> Int {
    try integer(key, in: range) ?? fallback
  }

  /// `value`, which stands in field `key`, as an integer of `range`.
  func integer(
    _ value: JSONValue, _ key: String, in range: ClosedRange<Int>
  ) throws(InputError) -> Int {
    guard let number = value.integerValue else {
      throw error(key, "is \(value.kind); an integer is expected")
    }
    guard range.contains(number) else {
      throw error(key, "is \(number); \(range.lowerBound)...\(range.upperBound) is expected")
    }
    return number
  }

  /// A number above 0 that is a normal `Float`; nil if absent or null.
  func positive(_ key: String) throws(InputError) -> Double? {
    guard let value = object[key] else { return nil }
    guard let number = value.doubleValue else {
      throw error(key, "is \(value.kind); a number is expected")
    }
    guard number > 0, Float(number).isNormal else {
      throw error(key, "is \(number); a number above 0 is expected")
    }
    return number
  }

  /// `value`, which stands in field `key`, as a number of `range`.
  func number(
    _ value: JSONValue, _ key: String, in range: ClosedRange<Double>
  ) throws(InputError) -> Double {
    guard let number = value.doubleValue else {
      throw error(key, "is \(value.kind); a number is expected")
    }
    guard range.contains(number) else {
      throw error(key, "is \(number); \(range.lowerBound)...\(range.upperBound) is expected")
    }
    return number
  }

  /// The epsilon of a norm, above 0 and at most 1; `fallback` if absent or null.
  func epsilon(_ key: String, default fallback: Double) throws(InputError) -> Float {
    let value = try positive(key) ?? fallback
    guard value <= 1 else { throw error(key, "is \(value); at most 1 is expected") }
    return Float(value)
  }

  /// The value that `table` gives to the name in field `key`.
  ///
  /// - Parameter fallback: the name if the field is absent.
  func choice<Value>(
    _ key: String, default fallback: String, of table: [(String, Value)]
  ) throws(InputError) -> Value {
    let name = try string(key) ?? fallback
    guard let match = table.first(where: { $0.0 == name }) else {
      let names = table.map(\.0).joined(separator: ", ")
      throw error(key, "is '\(printable(name, limit: 60))', which is not supported (\(names) are)")
    }
    return match.1
  }
}

/// Caps on what a configuration may ask for; those of the file format, so that what is accepted
/// here can be written.
enum Limit {
  static let dimension = 1 << 24
  static let layers = 1024
  static let heads = 1024
  static let headDimension = 1024
  static let vocabulary = 1 << 21
  /// Of a tokenizer's files, twice the largest known: reading them takes a microsecond each.
  static let pieces = 1 << 19
  static let merges = 1 << 20
  static let addedTokens = 1 << 17
  static let context = 1 << 20
  static let featureLayers = 64
  /// Pixels along one side of an image.
  static let side = 16_384
  static let endOfTextIDs = 64
  /// Constants of image steps, but for means, which may also be 0 or negative.
  static let imageConstants = 1e-9...1e9
}

/// The names that configurations give to activations.
let activationNames: [(String, Activation)] = [
  ("silu", .silu), ("swish", .silu), ("gelu", .gelu), ("gelu_pytorch_tanh", .geluTanh),
  ("gelu_new", .geluTanh), ("gelu_fast", .geluTanh), ("quick_gelu", .quickGELU),
]
