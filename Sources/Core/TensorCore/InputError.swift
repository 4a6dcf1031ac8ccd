/// What is wrong with something a user gave us: one line, naming the file.
///
/// Every reader of foreign bytes throws this; commands print it and exit with 65.
package struct InputError: Error, Equatable, CustomStringConvertible {
  /// Path of the offending file, as the user would recognise it; empty if there is none.
  package var file: String
  /// What was found, what was expected, and the next step if there is one.
  package var problem: String

  package init(_ file: String, _ problem: String) {
    self.file = file
    self.problem = problem
  }

  package var description: String {
    file.isEmpty ? problem : "\(printable(file)): \(problem)"
  }
}

/// `text` made safe to print: control characters, line breaks and bidirectional marks are
/// escaped, and anything longer than `limit` characters is cut.
package func printable(_ text: some StringProtocol, limit: Int = 120) -> String {
  var result = ""
  var count = 0
  for scalar in text.unicodeScalars {
    if count == limit { return result + "…" }
    count += 1
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse,
      .unassigned:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}
