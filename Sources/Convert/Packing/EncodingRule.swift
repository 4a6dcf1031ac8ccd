import Architecture
import Glibc
package import TensorCore

/// `PATTERN=TYPE`: the encoding of all matrices whose names match.
package struct EncodingRule: Equatable, Sendable {
  /// A shell pattern (`*`, `?`, `[...]`) for whole names such as "text.layers.3.query"; a `*` may
  /// stand for dots too.
  package let pattern: String
  package let encoding: Encoding

  /// Nil unless `text` is a pattern, `=` and the name of an encoding.
  package init?(_ text: String) {
    guard let sign = text.lastIndex(of: "="), sign > text.startIndex,
      let encoding = Encoding(name: String(text[text.index(after: sign)...]))
    else { return nil }
    pattern = String(text[..<sign])
    self.encoding = encoding
  }

  /// Whether `name` is one that the rule means.
  package func matches(_ name: String) -> Bool { unsafe fnmatch(pattern, name, 0) == 0 }
}
