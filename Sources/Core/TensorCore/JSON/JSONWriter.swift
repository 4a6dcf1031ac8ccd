extension JSONValue {
  /// The canonical text: keys sorted by bytes, no spaces, shortest numbers that read back equal.
  package var canonicalText: String {
    var text = ""
    write(to: &text, sorted: true)
    return text
  }

  /// The same on one line with members in their own order, for people and `--json`.
  package var text: String {
    var text = ""
    write(to: &text, sorted: false)
    return text
  }

  private func write(to text: inout String, sorted: Bool) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .number(let value):
      precondition(value.isFinite, "JSON has no \(value)")
      // A whole number stays a number: "3.0" reads back as one.
      text += "\(value)"
    case .string(let value): JSONValue.writeString(value, to: &text)
    case .array(let items):
      text += "["
      for (index, item) in items.enumerated() {
        if index > 0 { text += "," }
        item.write(to: &text, sorted: sorted)
      }
      text += "]"
    case .object(let object):
      var members = object.members
      if sorted { members.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) } }
      text += "{"
      for (index, member) in members.enumerated() {
        if index > 0 { text += "," }
        JSONValue.writeString(member.key, to: &text)
        text += ":"
        member.value.write(to: &text, sorted: sorted)
      }
      text += "}"
    }
  }

  private static func writeString(_ value: String, to text: inout String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\u{0}"..<"\u{20}", "\u{7F}":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
