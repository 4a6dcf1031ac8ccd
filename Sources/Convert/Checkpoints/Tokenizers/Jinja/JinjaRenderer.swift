/// Renders a template in memory; the part of Jinja2 that chat templates use for plain turns.
///
/// A template is foreign code, so it is bounded: it can reach nothing but the values it is given,
/// and steps and text have limits.
struct JinjaRenderer {
  private static let stepLimit = 100_000
  private static let textLimit = 1 << 16
  /// Most lists that may be made: they bound how deep one can be.
  private static let listLimit = 1000

  /// Innermost last.
  private var scopes: [[String: JinjaValue]]
  private var namespaces: [[String: JinjaValue]] = []
  private var output = ""
  private var steps = 0
  private var lists = 0

  static func render(
    _ nodes: [JinjaNode], _ variables: [String: JinjaValue]
  ) throws(JinjaError) -> String {
    var renderer = JinjaRenderer(scopes: [variables, [:]])
    try renderer.run(nodes)
    return renderer.output
  }

  private init(scopes: [[String: JinjaValue]]) { self.scopes = scopes }

  private mutating func step(_ count: Int = 1) throws(JinjaError) {
    steps += count
    guard steps <= JinjaRenderer.stepLimit else { throw JinjaError("it takes too many steps") }
  }

  /// Counts the steps of going through `value` once and returns it.
  ///
  /// Of lists in lists that is all that they hold, which is far more than they take in memory where
  /// one stands in several places.
  @discardableResult
  private mutating func weigh(_ value: JinjaValue) throws(JinjaError) -> JinjaValue {
    switch value {
    case .string(let text): try step(text.utf8.count / 64)
    case .list(let items):
      try step(items.count)
      for item in items { try weigh(item) }
    case .dictionary(let members):
      try step(members.count)
      for member in members.values { try weigh(member) }
    default: break
    }
    return value
  }

  private mutating func run(_ nodes: [JinjaNode]) throws(JinjaError) {
    for node in nodes {
      try step()
      switch node {
      case .text(let text): try write(text)
      case .output(let expression): try write(try text(of: try evaluate(expression)))
      case .set(let object, let name, let expression):
        let value = try evaluate(expression)
        if let object {
          guard case .namespace(let number) = lookup(object) else {
            throw JinjaError("'\(object)' is not a namespace")
          }
          namespaces[number][name] = value
        } else {
          scopes[scopes.count - 1][name] = value
        }
      case .branches(let branches):
        for branch in branches {
          if let condition = branch.condition, try !isTrue(try evaluate(condition)) { continue }
          try run(branch.body)
          break
        }
      case .loop(let variables, let iterable, let filter, let body):
        try loop(variables, try list(try evaluate(iterable)), filter, body)
      }
    }
  }

  private mutating func loop(
    _ variables: [String], _ values: [JinjaValue], _ filter: JinjaExpression?, _ body: [JinjaNode]
  ) throws(JinjaError) {
    var items = values
    if let filter {
      items = []
      for value in values {
        scopes.append(try Self.binding(variables, to: value))
        if try isTrue(try evaluate(filter)) { items.append(value) }
        scopes.removeLast()
      }
    }
    for (index, item) in items.enumerated() {
      try step()
      let state: [String: JinjaValue] = [
        "index": .integer(index + 1), "index0": .integer(index), "first": .bool(index == 0),
        "last": .bool(index == items.count - 1), "length": .integer(items.count),
        "previtem": index > 0 ? items[index - 1] : .undefined,
        "nextitem": index + 1 < items.count ? items[index + 1] : .undefined,
      ]
      var scope = try Self.binding(variables, to: item)
      scope["loop"] = .dictionary(state)
      scopes.append(scope)
      try run(body)
      scopes.removeLast()
    }
  }

  /// The variables of a loop for one value of it.
  private static func binding(
    _ variables: [String], to value: JinjaValue
  ) throws(JinjaError) -> [String: JinjaValue] {
    if variables.count == 1 { return [variables[0]: value] }
    guard case .list(let parts) = value, parts.count == variables.count else {
      throw JinjaError("a loop over \(variables.count) variables has values of another kind")
    }
    return Dictionary(zip(variables, parts)) { $1 }
  }

  private mutating func write(_ text: String) throws(JinjaError) {
    output += text
    guard output.utf8.count <= JinjaRenderer.textLimit else {
      throw JinjaError("it writes too much text")
    }
  }

  private func lookup(_ name: String) -> JinjaValue {
    for scope in scopes.reversed() {
      if let value = scope[name] { return value }
    }
    return .undefined
  }

  private mutating func evaluate(_ expression: JinjaExpression) throws(JinjaError) -> JinjaValue {
    try step()
    switch expression {
    case .literal(let value): return value
    case .name(let name): return lookup(name)
    case .list(let items):
      lists += 1
      guard lists <= JinjaRenderer.listLimit else { throw JinjaError("it makes too many lists") }
      return .list(try evaluate(items))
    case .member(let subject, let name): return try member(try evaluate(subject), name)
    case .index(let subject, let index):
      let subject = try evaluate(subject)
      switch try evaluate(index) {
      case .string(let name): return try member(subject, name)
      case .integer(let index):
        let items = try list(subject)
        let place = index < 0 ? index + items.count : index
        return items.indices.contains(place) ? items[place] : .undefined
      default: throw JinjaError("an index is neither a text nor a number")
      }
    case .slice(let subject, let from, let to):
      let items = try list(try evaluate(subject))
      let start = try bound(from, of: items.count) ?? 0
      let end = try bound(to, of: items.count) ?? items.count
      return .list(start < end ? Array(items[start..<end]) : [])
    case .call(let subject, let name, let arguments, let named):
      if let subject {
        return try JinjaFunctions.method(
          name, of: try weigh(try evaluate(subject)), try evaluate(arguments))
      }
      return try call(name, arguments, named)
    case .filter(let subject, let name, let arguments):
      return try JinjaFunctions.filter(
        name, of: try weigh(try evaluate(subject)), try evaluate(arguments))
    case .test(let subject, let name, let arguments):
      return .bool(
        try JinjaFunctions.test(
          name, of: try weigh(try evaluate(subject)), try evaluate(arguments)))
    case .not(let value): return .bool(try !isTrue(try evaluate(value)))
    case .negative(let value):
      guard case .integer(let number) = try evaluate(value) else {
        throw JinjaError("'-' before something that is no number")
      }
      return .integer(try JinjaFunctions.arithmetic("-", 0, number))
    case .conditional(let value, let condition, let other):
      if try isTrue(try evaluate(condition)) { return try evaluate(value) }
      guard let other else { return .undefined }
      return try evaluate(other)
    case .binary(let symbol, let left, let right): return try binary(symbol, left, right)
    }
  }

  private mutating func evaluate(
    _ expressions: [JinjaExpression]
  ) throws(JinjaError) -> [JinjaValue] {
    var values: [JinjaValue] = []
    for expression in expressions { values.append(try evaluate(expression)) }
    return values
  }

  private mutating func bound(
    _ expression: JinjaExpression?, of count: Int
  ) throws(JinjaError) -> Int? {
    guard let expression else { return nil }
    guard case .integer(let value) = try evaluate(expression) else {
      throw JinjaError("a slice by something that is no number")
    }
    return min(max(value < 0 ? value + count : value, 0), count)
  }

  private func member(_ subject: JinjaValue, _ name: String) throws(JinjaError) -> JinjaValue {
    switch subject {
    case .dictionary(let members): return members[name] ?? .undefined
    case .namespace(let number): return namespaces[number][name] ?? .undefined
    case .undefined: throw JinjaError("'\(name)' is asked of something undefined")
    default: return .undefined
    }
  }

  private mutating func call(
    _ name: String, _ arguments: [JinjaExpression], _ named: [String: JinjaExpression]
  ) throws(JinjaError) -> JinjaValue {
    switch name {
    case "namespace":
      var members: [String: JinjaValue] = [:]
      for (key, value) in named { members[key] = try evaluate(value) }
      namespaces.append(members)
      return .namespace(namespaces.count - 1)
    case "raise_exception":
      guard case .string(let text)? = try evaluate(arguments).first else { fallthrough }
      throw JinjaError("it refuses the conversation: \(text)")
    default: throw JinjaError("the function '\(name)' is not supported")
    }
  }

  private mutating func binary(
    _ symbol: String, _ left: JinjaExpression, _ right: JinjaExpression
  ) throws(JinjaError) -> JinjaValue {
    let a = try evaluate(left)
    switch symbol {
    case "or": return try isTrue(a) ? a : try evaluate(right)
    case "and": return try isTrue(a) ? try evaluate(right) : a
    default: break
    }
    let b = try evaluate(right)
    switch (symbol, a, b) {
    case ("==", _, _), ("!=", _, _):
      try weigh(a)
      return .bool((a == b) == (symbol == "=="))
    case ("in", .string(let part), .string(let text)):
      try step(part.utf8.count * text.utf8.count / 4096)
      return .bool(JinjaFunctions.contains(text, part))
    case ("in", _, .list(let items)):
      for _ in items { try weigh(a) }
      return .bool(items.contains(a))
    case ("in", .string(let key), .dictionary(let members)): return .bool(members[key] != nil)
    case ("~", _, _), ("+", .string, .string):
      let joined = try text(of: a) + text(of: b)
      try step(joined.utf8.count / 64)
      return .string(joined)
    case ("+", .list(let first), .list(let second)):
      guard first.count + second.count < 1000 else { throw JinjaError("a list is too long") }
      return .list(first + second)
    case (_, .integer(let x), .integer(let y)):
      switch symbol {
      case "<": return .bool(x < y)
      case ">": return .bool(x > y)
      case "<=": return .bool(x <= y)
      case ">=": return .bool(x >= y)
      default: return .integer(try JinjaFunctions.arithmetic(symbol, x, y))
      }
    default: throw JinjaError("'\(symbol)' between these values is not supported")
    }
  }

  private func text(of value: JinjaValue) throws(JinjaError) -> String {
    switch value {
    case .string(let text): return text
    case .integer(let number): return String(number)
    case .undefined: return ""
    default: throw JinjaError("something is written that is no text")
    }
  }

  private func list(_ value: JinjaValue) throws(JinjaError) -> [JinjaValue] {
    switch value {
    case .list(let items): return items
    case .undefined: return []
    default: throw JinjaError("a list is expected where there is none")
    }
  }

  private func isTrue(_ value: JinjaValue) throws(JinjaError) -> Bool {
    JinjaFunctions.isTrue(value)
  }
}
