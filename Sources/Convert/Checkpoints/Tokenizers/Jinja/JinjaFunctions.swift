/// The filters, tests and methods that chat templates use.
enum JinjaFunctions {
  static func filter(
    _ name: String, of value: JinjaValue, _ arguments: [JinjaValue]
  ) throws(JinjaError) -> JinjaValue {
    switch (name, value) {
    case ("trim", .string), ("upper", .string), ("lower", .string), ("capitalize", .string):
      return try method(name == "trim" ? "strip" : name, of: value, arguments)
    case ("string", .string), ("safe", .string): return value
    case ("length", .string(let text)), ("count", .string(let text)):
      return .integer(text.unicodeScalars.count)
    case ("length", .list(let items)), ("count", .list(let items)): return .integer(items.count)
    case ("list", .list): return value
    case ("first", .list(let items)): return items.first ?? .undefined
    case ("last", .list(let items)): return items.last ?? .undefined
    case ("default", .undefined): return arguments.first ?? .string("")
    case ("default", _): return value
    case ("selectattr", .list(let items)), ("rejectattr", .list(let items)):
      guard case .string(let attribute)? = arguments.first else { break }
      var selected: [JinjaValue] = []
      for item in items {
        guard case .dictionary(let members) = item else { break }
        let value = members[attribute] ?? .undefined
        let holds: Bool
        if arguments.count > 1 {
          guard case .string(let test) = arguments[1] else { break }
          holds = try self.test(test, of: value, Array(arguments.dropFirst(2)))
        } else {
          holds = isTrue(value)
        }
        if holds == (name == "selectattr") { selected.append(item) }
      }
      return .list(selected)
    default: break
    }
    throw JinjaError("the filter '\(name)' is not supported here")
  }

  static func test(
    _ name: String, of value: JinjaValue, _ arguments: [JinjaValue]
  ) throws(JinjaError) -> Bool {
    switch name {
    case "defined": return value != .undefined
    case "undefined": return value == .undefined
    case "none": return value == .none
    case "true": return value == .bool(true)
    case "false": return value == .bool(false)
    case "string": if case .string = value { return true } else { return false }
    case "mapping": if case .dictionary = value { return true } else { return false }
    case "iterable", "sequence":
      switch value {
      case .string, .list, .dictionary: return true
      default: return false
      }
    case "equalto", "eq", "==": return value == arguments.first
    default: throw JinjaError("the test '\(name)' is not supported")
    }
  }

  static func method(
    _ name: String, of value: JinjaValue, _ arguments: [JinjaValue]
  ) throws(JinjaError) -> JinjaValue {
    switch (name, value, arguments.first) {
    case ("upper", .string(let text), nil): return .string(text.uppercased())
    case ("lower", .string(let text), nil): return .string(text.lowercased())
    case ("capitalize", .string(let text), nil):
      return .string(text.prefix(1).uppercased() + text.dropFirst().lowercased())
    case ("strip", .string(let text), nil):
      return .string(stripped(text, left: true, right: true))
    case ("lstrip", .string(let text), nil):
      return .string(stripped(text, left: true, right: false))
    case ("rstrip", .string(let text), nil):
      return .string(stripped(text, left: false, right: true))
    case ("startswith", .string(let text), .string(let part)?):
      return .bool(text.unicodeScalars.starts(with: part.unicodeScalars))
    case ("endswith", .string(let text), .string(let part)?):
      return .bool(text.unicodeScalars.reversed().starts(with: part.unicodeScalars.reversed()))
    case ("get", .dictionary(let members), .string(let key)?):
      return members[key] ?? (arguments.count > 1 ? arguments[1] : .none)
    default: throw JinjaError("the method '\(name)' is not supported here")
    }
  }

  static func arithmetic(_ symbol: String, _ x: Int, _ y: Int) throws(JinjaError) -> Int {
    let (value, overflow) =
      switch symbol {
      case "+": x.addingReportingOverflow(y)
      case "-": x.subtractingReportingOverflow(y)
      case "*": x.multipliedReportingOverflow(by: y)
      // Python rounds down; the numbers of a template are not negative.
      case "//": x.dividedReportingOverflow(by: y)
      case "%": x.remainderReportingOverflow(dividingBy: y)
      default: throw JinjaError("'\(symbol)' between numbers is not supported")
      }
    guard !overflow else { throw JinjaError("a number is out of range") }
    return value
  }

  static func isTrue(_ value: JinjaValue) -> Bool {
    switch value {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .string(let text): !text.isEmpty
    case .list(let items): !items.isEmpty
    case .dictionary(let members): !members.isEmpty
    case .namespace: true
    }
  }

  /// Whether `part` lies in `text`, scalar by scalar.
  static func contains(_ text: String, _ part: String) -> Bool {
    let text = Array(text.utf8)
    let part = Array(part.utf8)
    guard part.count <= text.count else { return false }
    return (0...text.count - part.count).contains { text[$0...].starts(with: part) }
  }

  private static func stripped(_ text: String, left: Bool, right: Bool) -> String {
    var scalars = Substring(text).unicodeScalars
    if left { scalars = scalars.drop { $0.properties.isWhitespace } }
    while right, let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
    return String(scalars)
  }
}
