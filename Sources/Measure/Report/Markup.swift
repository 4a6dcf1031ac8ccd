/// A piece of a page: text, or an element with attributes and content.
///
/// Text is escaped where the page is written out, so nothing that a file, a question or a model
/// says can become markup, and what is written is well-formed XML.
package indirect enum Markup: Sendable {
  case text(String)
  case element(name: String, attributes: [(name: String, value: String)], content: [Markup])
  /// Pieces side by side; nothing is a group of none.
  case group([Markup])

  package static let nothing = Markup.group([])
}

extension Markup: ExpressibleByStringInterpolation {
  package init(stringLiteral value: String) { self = .text(value) }
}

/// The element `name`.
func tag(_ name: String, _ content: Markup...) -> Markup { tag(name, [:], content) }

func tag(
  _ name: String, _ attributes: KeyValuePairs<String, String>, _ content: Markup...
) -> Markup {
  tag(name, attributes, content)
}

func tag(
  _ name: String, _ attributes: KeyValuePairs<String, String> = [:], _ content: [Markup]
) -> Markup {
  .element(
    name: name, attributes: attributes.map { (name: $0.key, value: $0.value) }, content: content)
}

extension Markup {
  /// The piece as it stands in a page.
  package var text: String {
    var result = ""
    write(to: &result)
    return result
  }

  // These may stand without an end tag in HTML, or in the SVG inside it; others must have one.
  private static let childless: Set<String> = [
    "meta", "img", "br", "path", "rect", "line", "circle",
  ]
  // A line break behind these changes nothing that is shown.
  private static let ownLine: Set<String> = [
    "head", "meta", "title", "style", "body", "header", "main", "section", "footer", "h1", "h2",
    "h3", "p", "ul", "ol", "li", "dl", "dd", "figure", "figcaption", "div", "svg", "g", "path",
    "table", "thead", "tbody", "tr", "details", "summary", "article",
  ]

  private func write(to result: inout String) {
    switch self {
    case .text(let text): Self.escape(text, to: &result)
    case .group(let pieces): for piece in pieces { piece.write(to: &result) }
    case .element(let name, let attributes, let content):
      result += "<\(name)"
      for (name, value) in attributes {
        result += " \(name)=\""
        Self.escape(value, to: &result)
        result += "\""
      }
      if content.isEmpty, Self.childless.contains(name) {
        result += "/>"
      } else {
        result += ">"
        for piece in content { piece.write(to: &result) }
        result += "</\(name)>"
      }
      if Self.ownLine.contains(name) { result += "\n" }
    }
  }

  /// Control characters and what is no character in XML show as U+FFFD.
  private static func escape(_ text: String, to result: inout String) {
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "\n", "\t": result.unicodeScalars.append(scalar)
      case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{FFFE}", "\u{FFFF}":
        result.unicodeScalars.append("\u{FFFD}")
      default: result.unicodeScalars.append(scalar)
      }
    }
  }
}
