/// A page that is well-formed, as far as ours need it: every element is closed in
/// order, attributes are quoted and stand once, and `<`, `>` and `&` stand for nothing but markup.
package struct WellFormedPage {
  package struct Failure: Error, CustomStringConvertible { package var description: String }

  /// Names of elements with what they hold as plain text, in the order of their ends.
  package private(set) var elements: [(name: String, attributes: [String: String], text: String)] =
    []

  package init(_ page: String) throws {
    var rest = Substring(page)
    func fail(_ reason: String) -> Failure {
      Failure(description: "\(reason) before '\(rest.prefix(60))'")
    }
    func take(_ start: String) -> Bool {
      guard rest.hasPrefix(start) else { return false }
      rest = rest.dropFirst(start.count)
      return true
    }
    guard take("<!DOCTYPE html>\n<!-- "), let end = rest.firstIndex(of: "\n") else {
      throw fail("no document type and comment")
    }
    rest = rest[rest.index(after: end)...]
    var open: [(name: String, attributes: [String: String], text: String)] = []
    while !rest.isEmpty {
      let text = rest.prefix { $0 != "<" }
      rest = rest.dropFirst(text.count)
      let plain = try Self.decoded(text)
      if open.isEmpty, plain.contains(where: { !$0.isWhitespace }) { throw fail("text outside") }
      for place in open.indices { open[place].text += plain }
      guard !rest.isEmpty else { break }
      if take("</") {
        let name = rest.prefix { $0 != ">" }
        guard let last = open.popLast(), last.name == name else { throw fail("</\(name)>") }
        elements.append(last)
        rest = rest.dropFirst(name.count + 1)
        continue
      }
      rest = rest.dropFirst()
      let name = rest.prefix { $0.isLetter || $0.isNumber }
      guard !name.isEmpty else { throw fail("no name") }
      rest = rest.dropFirst(name.count)
      var attributes: [String: String] = [:]
      while take(" ") {
        let key = rest.prefix { $0 != "=" && $0 != " " && $0 != ">" }
        rest = rest.dropFirst(key.count)
        guard take("=\"") else { throw fail("attribute \(key)") }
        let value = rest.prefix { $0 != "\"" }
        guard !value.contains("<") else { throw fail("< in attribute \(key)") }
        rest = rest.dropFirst(value.count + 1)
        guard attributes.updateValue(try Self.decoded(value), forKey: String(key)) == nil else {
          throw fail("attribute \(key) twice")
        }
      }
      let element = (name: String(name), attributes: attributes, text: "")
      if take("/>") {
        elements.append(element)
      } else if take(">") {
        open.append(element)
      } else {
        throw fail("no end of <\(name)")
      }
    }
    guard open.isEmpty else { throw Failure(description: "<\(open[0].name)> is not closed") }
  }

  /// What the elements `name` hold.
  package func texts(_ name: String) -> [String] { elements.filter { $0.name == name }.map(\.text) }

  private static func decoded(_ text: Substring) throws -> String {
    var result = ""
    var rest = text
    while let character = rest.popFirst() {
      guard character == "&" else {
        guard character != ">" else { throw Failure(description: "> in '\(text.prefix(60))'") }
        result.append(character)
        continue
      }
      let name = rest.prefix { $0 != ";" }
      let known = ["amp": "&", "lt": "<", "gt": ">", "quot": "\""]
      guard let value = known[String(name)] else {
        throw Failure(description: "&\(name.prefix(20))")
      }
      result += value
      rest = rest.dropFirst(name.count + 1)
    }
    return result
  }
}
