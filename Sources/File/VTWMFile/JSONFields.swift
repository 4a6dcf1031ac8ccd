import TensorCore

/// The members of one JSON object, read strictly: a required member must be there, every member
/// must have its type and lie in its range.  Members nobody asks for are ignored.
struct JSONFields {
  private let object: JSONObject
  private let file: String
  private let section: String
  /// The members that lead here, each with a dot: "text.rope.".
  private let path: String

  /// - Throws: `InputError` unless `bytes` are one JSON object within the caps of the format.
  init(parsing bytes: [UInt8], section: SectionType, file: String) throws(InputError) {
    let value: JSONValue
    do {
      value = try JSONValue(parsing: bytes, limits: VTWMLimits.json)
    } catch {
      throw InputError(
        file, "section \(section): not valid JSON at byte \(error.offset): \(error.problem)")
    }
    guard let object = value.objectValue else {
      throw InputError(file, "section \(section): is \(value.kind), not an object")
    }
    self.init(object, file: file, section: section.letters, path: "")
  }

  private init(_ object: JSONObject, file: String, section: String, path: String) {
    self.object = object
    self.file = file
    self.section = section
    self.path = path
  }

  /// The whole object.
  var value: JSONValue { .object(object) }

  func error(_ key: String, _ problem: String) -> InputError {
    InputError(file, "section \(section): '\(path)\(key)' \(problem)")
  }

  /// Whether the member is there and not null.
  func has(_ key: String) -> Bool { (object[key] ?? .null) != .null }

  private func get<T>(
    _ key: String, _ expected: String, _ convert: (JSONValue) -> T?
  ) throws(InputError) -> T {
    guard let value = object[key] else { throw error(key, "is missing") }
    guard let result = convert(value) else {
      throw error(key, "is \(value.kind); \(expected) expected")
    }
    return result
  }

  func integer(_ key: String, in range: ClosedRange<Int>) throws(InputError) -> Int {
    let value = try get(key, "an integer", \.integerValue)
    guard range.contains(value) else {
      throw error(key, "is \(value); \(range.lowerBound)...\(range.upperBound) expected")
    }
    return value
  }

  func double(_ key: String, in range: ClosedRange<Double>) throws(InputError) -> Double {
    let value = try get(key, "a number", \.doubleValue)
    guard range.contains(value) else {
      throw error(key, "is \(value); \(range.lowerBound)...\(range.upperBound) expected")
    }
    return value
  }

  /// A number that is finite as a `Float`.
  func float(_ key: String, in range: ClosedRange<Float>) throws(InputError) -> Float {
    let value = Float(try get(key, "a number", \.doubleValue))
    guard range.contains(value) else {
      throw error(key, "is \(value); \(range.lowerBound)...\(range.upperBound) expected")
    }
    return value
  }

  func bool(_ key: String) throws(InputError) -> Bool {
    try get(key, "true or false", \.boolValue)
  }

  func string(_ key: String, limit: Int = VTWMLimits.textSize) throws(InputError) -> String {
    let text = try get(key, "a string", \.stringValue)
    guard text.utf8.count <= limit else {
      throw error(key, "has \(text.utf8.count) bytes; at most \(limit) expected")
    }
    guard !text.utf8.contains(0) else { throw error(key, "holds a NUL") }
    return text
  }

  /// A string that must be one of `cases`.
  func choice<T: RawRepresentable & CaseIterable>(
    _ key: String, _ type: T.Type = T.self
  ) throws(InputError) -> T where T.RawValue == String {
    let text = try string(key)
    guard let value = T(rawValue: text) else {
      let known = T.allCases.map(\.rawValue).joined(separator: ", ")
      throw error(key, "is '\(printable(text))'; one of \(known) expected")
    }
    return value
  }

  func fields(_ key: String) throws(InputError) -> JSONFields {
    let member = try get(key, "an object", \.objectValue)
    return JSONFields(member, file: file, section: section, path: "\(path)\(key).")
  }

  func integers(
    _ key: String, count: ClosedRange<Int>, in range: ClosedRange<Int>
  ) throws(InputError) -> [Int] {
    var result: [Int] = []
    for item in try array(key, count: count) {
      guard let value = item.integerValue, range.contains(value) else {
        throw error(
          key,
          "holds \(item.integerValue.map(String.init) ?? item.kind); integers in"
            + " \(range.lowerBound)...\(range.upperBound) expected")
      }
      result.append(value)
    }
    return result
  }

  func doubles(
    _ key: String, count: ClosedRange<Int>, in range: ClosedRange<Double>
  ) throws(InputError) -> [Double] {
    var result: [Double] = []
    for item in try array(key, count: count) {
      guard let value = item.doubleValue, range.contains(value) else {
        throw error(
          key,
          "holds \(item.doubleValue.map { "\($0)" } ?? item.kind); numbers in"
            + " \(range.lowerBound)...\(range.upperBound) expected")
      }
      result.append(value)
    }
    return result
  }

  func array(_ key: String, count: ClosedRange<Int>) throws(InputError) -> [JSONValue] {
    let items = try get(key, "an array", \.arrayValue)
    guard count.contains(items.count) else {
      throw error(
        key, "has \(items.count) items; \(count.lowerBound)...\(count.upperBound) expected")
    }
    return items
  }
}

extension JSONValue {
  /// The shortest number that reads back as `value`; null if it is not finite.
  init(_ value: Float) {
    // The shortest decimal of a Float, read as a Double, nearly always rounds back to it.
    let short = Double("\(value)") ?? Double(value)
    self.init(Float(short) == value ? short : Double(value))
  }

  /// Null if it is not finite, which no reader takes for a number.
  init(_ value: Double) { self = value.isFinite ? .number(value) : .null }

  var canonicalBytes: [UInt8] { Array(canonicalText.utf8) }
}
