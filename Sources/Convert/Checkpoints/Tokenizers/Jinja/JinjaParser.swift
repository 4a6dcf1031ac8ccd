/// Reads a template into nodes: `for`, `if`, `set`, `generation` and expressions, nothing else.
struct JinjaParser {
  /// Deepest nesting of tags, and of parentheses in a tag.
  private static let depthLimit = 32
  /// Most tokens of one tag: they bound how deep its expression gets without parentheses.
  private static let tokenLimit = 400

  static func nodes(of template: String) throws(JinjaError) -> [JinjaNode] {
    let segments = try JinjaLexer.segments(of: template)
    var place = 0
    let (nodes, end) = try block(segments, &place, until: [], depth: 0)
    precondition(end == nil, "a block without end words ends only with the template")
    return nodes
  }

  /// The nodes up to a statement whose first word is one of `ends`, and that statement.
  private static func block(
    _ segments: [JinjaSegment], _ place: inout Int, until ends: [String], depth: Int
  ) throws(JinjaError) -> ([JinjaNode], end: JinjaParser?) {
    guard depth < depthLimit else { throw JinjaError("it is nested too deeply") }
    var nodes: [JinjaNode] = []
    while place < segments.count {
      let segment = segments[place]
      place += 1
      switch segment {
      case .text(let text): nodes.append(.text(text))
      case .output(let tokens):
        var parser = try JinjaParser(tokens)
        nodes.append(.output(try parser.whole()))
      case .statement(let tokens):
        var parser = try JinjaParser(tokens)
        let word = try parser.name()
        if ends.contains(word) { return (nodes, parser) }
        switch word {
        case "for": nodes.append(try loop(&parser, segments, &place, depth))
        case "if": nodes.append(try branches(&parser, segments, &place, depth))
        case "set": nodes.append(try parser.assignment())
        case "generation":
          let (body, _) = try block(segments, &place, until: ["endgeneration"], depth: depth + 1)
          nodes += body
        default: throw JinjaError("the statement '\(word)' is not supported")
        }
      }
    }
    guard ends.isEmpty else { throw JinjaError("'\(ends[0])' is missing") }
    return (nodes, nil)
  }

  private static func loop(
    _ parser: inout JinjaParser, _ segments: [JinjaSegment], _ place: inout Int, _ depth: Int
  ) throws(JinjaError) -> JinjaNode {
    var variables = [try parser.name()]
    while parser.accept(",") { variables.append(try parser.name()) }
    guard parser.accept(name: "in") else { throw JinjaError("'for' without 'in'") }
    // `x if condition` filters the loop here, so no conditional expression may be read.
    let iterable = try parser.or()
    let filter = parser.accept(name: "if") ? try parser.or() : nil
    try parser.end()
    let (body, end) = try block(segments, &place, until: ["endfor", "else"], depth: depth + 1)
    guard end?.word == "endfor" else { throw JinjaError("'else' of a loop is not supported") }
    return .loop(variables: variables, over: iterable, where: filter, body: body)
  }

  private static func branches(
    _ parser: inout JinjaParser, _ segments: [JinjaSegment], _ place: inout Int, _ depth: Int
  ) throws(JinjaError) -> JinjaNode {
    var branches: [JinjaBranch] = []
    var condition: JinjaExpression? = try parser.whole()
    while true {
      let isElse = condition == nil
      let (body, end) = try block(
        segments, &place, until: isElse ? ["endif"] : ["endif", "elif", "else"], depth: depth + 1)
      branches.append(JinjaBranch(condition: condition, body: body))
      guard var next = end, next.word != "endif" else { return .branches(branches) }
      condition = next.word == "elif" ? try next.whole() : nil
    }
  }

  // Expressions, loosest binding first.

  private let tokens: [JinjaToken]
  private var place = 0
  private var depth = 0

  private init(_ tokens: [JinjaToken]) throws(JinjaError) {
    guard tokens.count <= JinjaParser.tokenLimit else {
      throw JinjaError("a tag has more than \(JinjaParser.tokenLimit) words and signs")
    }
    self.tokens = tokens
  }

  /// The first word of a statement.
  private var word: String? { if case .name(let name)? = tokens.first { name } else { nil } }

  private mutating func assignment() throws(JinjaError) -> JinjaNode {
    var object: String?
    var name = try name()
    if accept(".") {
      object = name
      name = try self.name()
    }
    guard accept("=") else { throw JinjaError("'set' without '=' is not supported") }
    return .set(object: object, name: name, try whole())
  }

  private mutating func whole() throws(JinjaError) -> JinjaExpression {
    let expression = try conditional()
    try end()
    return expression
  }

  private func end() throws(JinjaError) {
    guard place == tokens.count else {
      throw JinjaError("'\(tokens[place].text)' is not expected where it stands")
    }
  }

  private mutating func conditional() throws(JinjaError) -> JinjaExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth < JinjaParser.depthLimit else { throw JinjaError("it is nested too deeply") }
    let value = try or()
    guard accept(name: "if") else { return value }
    let condition = try or()
    return .conditional(
      value, if: condition, else: accept(name: "else") ? try conditional() : nil)
  }

  private mutating func or() throws(JinjaError) -> JinjaExpression {
    var left = try and()
    while accept(name: "or") { left = .binary("or", left, try and()) }
    return left
  }

  private mutating func and() throws(JinjaError) -> JinjaExpression {
    var left = try not()
    while accept(name: "and") { left = .binary("and", left, try not()) }
    return left
  }

  private mutating func not() throws(JinjaError) -> JinjaExpression {
    var count = 0
    while accept(name: "not") { count += 1 }
    let value = try comparison()
    if count == 0 { return value }
    return count % 2 == 1 ? .not(value) : .not(.not(value))
  }

  private mutating func comparison() throws(JinjaError) -> JinjaExpression {
    var left = try sum()
    while true {
      if let symbol = acceptOne(of: ["==", "!=", "<", ">", "<=", ">="]) {
        left = .binary(symbol, left, try sum())
      } else if accept(name: "in") {
        left = .binary("in", left, try sum())
      } else if place + 1 < tokens.count, tokens[place] == .name("not"),
        tokens[place + 1] == .name("in")
      {
        place += 2
        left = .not(.binary("in", left, try sum()))
      } else {
        return left
      }
    }
  }

  private mutating func sum() throws(JinjaError) -> JinjaExpression {
    var left = try concatenation()
    while let symbol = acceptOne(of: ["+", "-"]) {
      left = .binary(symbol, left, try concatenation())
    }
    return left
  }

  private mutating func concatenation() throws(JinjaError) -> JinjaExpression {
    var left = try product()
    while accept("~") { left = .binary("~", left, try product()) }
    return left
  }

  private mutating func product() throws(JinjaError) -> JinjaExpression {
    var left = try postfix()
    while let symbol = acceptOne(of: ["*", "//", "%"]) {
      left = .binary(symbol, left, try postfix())
    }
    return left
  }

  /// A value with what follows it: members, calls, filters and tests.
  private mutating func postfix() throws(JinjaError) -> JinjaExpression {
    if accept("-") { return .negative(try primary()) }
    var value = try primary()
    while true {
      if accept(".") {
        let name = try name()
        value =
          accept("(")
          ? try call(name, of: value) : .member(value, name)
      } else if accept("[") {
        value = try subscripted(value)
      } else if accept("|") {
        let name = try name()
        value = .filter(value, name, accept("(") ? try arguments().unnamed : [])
      } else if accept(name: "is") {
        let isNegated = accept(name: "not")
        let name = try name()
        let test = JinjaExpression.test(
          value, name, accept("(") ? try arguments().unnamed : [])
        value = isNegated ? .not(test) : test
      } else {
        return value
      }
    }
  }

  private mutating func primary() throws(JinjaError) -> JinjaExpression {
    guard place < tokens.count else { throw JinjaError("a tag ends too early") }
    let token = tokens[place]
    place += 1
    switch token {
    case .string(var text):
      while place < tokens.count, case .string(let more) = tokens[place] {
        text += more
        place += 1
      }
      return .literal(.string(text))
    case .integer(let value): return .literal(.integer(value))
    case .name("true"), .name("True"): return .literal(.bool(true))
    case .name("false"), .name("False"): return .literal(.bool(false))
    case .name("none"), .name("None"): return .literal(.none)
    case .name(let name): return accept("(") ? try call(name, of: nil) : .name(name)
    case .symbol("("):
      let value = try conditional()
      guard accept(")") else { throw JinjaError("')' is missing") }
      return value
    case .symbol("["):
      var items: [JinjaExpression] = []
      while !accept("]") {
        items.append(try conditional())
        guard accept(",") || tokens[safe: place] == .symbol("]") else {
          throw JinjaError("']' is missing")
        }
      }
      return .list(items)
    case .symbol(let text): throw JinjaError("'\(text)' is not expected where it stands")
    }
  }

  private mutating func subscripted(
    _ value: JinjaExpression
  ) throws(JinjaError) -> JinjaExpression {
    let first = tokens[safe: place] == .symbol(":") ? nil : try conditional()
    if accept(":") {
      let last = tokens[safe: place] == .symbol("]") ? nil : try conditional()
      guard accept("]") else { throw JinjaError("']' is missing") }
      return .slice(value, from: first, to: last)
    }
    guard let first, accept("]") else { throw JinjaError("']' is missing") }
    return .index(value, first)
  }

  private mutating func call(
    _ name: String, of subject: JinjaExpression?
  ) throws(JinjaError) -> JinjaExpression {
    let (unnamed, named) = try arguments()
    return .call(subject: subject, name, unnamed, named: named)
  }

  /// Arguments up to `)`.
  private mutating func arguments() throws(JinjaError) -> (
    unnamed: [JinjaExpression], named: [String: JinjaExpression]
  ) {
    var unnamed: [JinjaExpression] = []
    var named: [String: JinjaExpression] = [:]
    while !accept(")") {
      if case .name(let name)? = tokens[safe: place], tokens[safe: place + 1] == .symbol("=") {
        place += 2
        named[name] = try conditional()
      } else {
        unnamed.append(try conditional())
      }
      guard accept(",") || tokens[safe: place] == .symbol(")") else {
        throw JinjaError("')' is missing")
      }
    }
    return (unnamed, named)
  }

  private mutating func name() throws(JinjaError) -> String {
    guard case .name(let name)? = tokens[safe: place] else { throw JinjaError("a name is missing") }
    place += 1
    return name
  }

  private mutating func accept(_ symbol: String) -> Bool {
    guard tokens[safe: place] == .symbol(symbol) else { return false }
    place += 1
    return true
  }

  private mutating func accept(name: String) -> Bool {
    guard tokens[safe: place] == .name(name) else { return false }
    place += 1
    return true
  }

  private mutating func acceptOne(of symbols: [String]) -> String? {
    for symbol in symbols where accept(symbol) { return symbol }
    return nil
  }
}

extension Array {
  fileprivate subscript(safe index: Int) -> Element? {
    index < count ? self[index] : nil
  }
}
