/// A JSON document as a value.
///
/// Integers are kept apart from other numbers, so that `32.0` is never taken for a count.
package enum JSONValue: Equatable, Sendable {
  case null
  case bool(Bool)
  /// A number written without fraction and exponent that fits an `Int`.
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)
}

/// Members in the order of the document, with look-up by key.  Keys are unique.
package struct JSONObject: Equatable, Sendable {
  package private(set) var members: [(key: String, value: JSONValue)] = []
  /// Places by key, of more than `fewMembers`.
  private var index: [ExactString: Int] = [:]

  // Among so few a key is found as soon without an index, which takes more memory than they do.
  private static let fewMembers = 8

  package init() {}

  package init(_ members: [(String, JSONValue)]) {
    for (key, value) in members { self[key] = value }
  }

  /// Nil if two members have the same key.
  package init?(unique members: some Sequence<(String, JSONValue)>) {
    let count = members.underestimatedCount
    self.members.reserveCapacity(count)
    if count > Self.fewMembers { index.reserveCapacity(count) }
    for (key, value) in members {
      guard insert(key, value) else { return nil }
    }
  }

  /// Adds a member; false, and the object is of no more use, if there is one of this key.
  private mutating func insert(_ key: String, _ value: JSONValue) -> Bool {
    if members.count < Self.fewMembers {
      guard place(of: key) == nil else { return false }
    } else {
      if members.count == Self.fewMembers { makeIndex() }
      guard index.updateValue(members.count, forKey: ExactString(key)) == nil else { return false }
    }
    members.append((key, value))
    return true
  }

  private mutating func makeIndex() {
    for (place, member) in members.enumerated() { index[ExactString(member.key)] = place }
  }

  private func place(of key: String) -> Int? {
    let key = ExactString(key)
    return members.count > Self.fewMembers
      ? index[key] : members.firstIndex { ExactString($0.key) == key }
  }

  package subscript(key: String) -> JSONValue? {
    get { place(of: key).map { members[$0].value } }
    set {
      switch (place(of: key), newValue) {
      case (let place?, let value?): members[place].value = value
      case (nil, let value?): _ = insert(key, value)
      case (let place?, nil):
        members.remove(at: place)
        index = [:]
        if members.count > Self.fewMembers { makeIndex() }
      case (nil, nil): break
      }
    }
  }

  package var isEmpty: Bool { members.isEmpty }

  package static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.members.count == b.members.count && a.members.allSatisfy { b[$0.key] == $0.value }
  }
}

/// A string compared by its bytes: Swift's own `==` takes canonically equivalent texts for equal,
/// but a vocabulary may hold both.
package struct ExactString: Hashable, Sendable {
  package let text: String

  package init(_ text: String) { self.text = text }

  package static func == (a: Self, b: Self) -> Bool {
    a.text.utf8.count == b.text.utf8.count && a.text.utf8.elementsEqual(b.text.utf8)
  }

  package func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int) { self = .integer(value) }
  package init(floatLiteral value: Double) { self = .number(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(elements))
  }
  package init(nilLiteral: ()) { self = .null }
}

extension JSONValue {
  package var objectValue: JSONObject? { if case .object(let value) = self { value } else { nil } }
  package var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  package var stringValue: String? { if case .string(let value) = self { value } else { nil } }
  package var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var integerValue: Int? { if case .integer(let value) = self { value } else { nil } }

  /// Any number as a `Double`.
  package var doubleValue: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// Member `key` of an object; nil if absent, null, or if this is no object.
  package subscript(key: String) -> JSONValue? {
    guard let value = objectValue?[key], value != .null else { return nil }
    return value
  }

  /// What kind of value this is, for messages.
  package var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer: "an integer"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}
