/// What is wrong with something a user gave us: one line, naming the file.
///
/// Every reader of foreign bytes throws this, and every writer; commands print it and exit with 65,
/// or with 1 if a file cannot be written.
package struct InputError: Error, Equatable, CustomStringConvertible {
  /// Path of the offending file, as the user would recognise it; empty if there is none.
  package var file: String
  /// What was found, what was expected, and the next step if there is one.
  package var problem: String
  /// Whether the fault lies where we write, such as a full disk, and not in what was given.
  package var isOutput = false

  package init(_ file: String, _ problem: String) {
    self.file = file
    self.problem = problem
  }

  /// The system's reason `code` why `file` cannot be written.
  package static func unwritable(_ file: String, _ code: Int32) -> InputError {
    .output(file, "cannot be written: \(errorText(code))")
  }

  /// What keeps `file` from being written.
  package static func output(_ file: String, _ problem: String) -> InputError {
    var error = InputError(file, problem)
    error.isOutput = true
    return error
  }

  package var description: String {
    file.isEmpty ? problem : "\(printable(file, limit: Self.pathLimit)): \(problem)"
  }

  // The longest path that Linux takes: what is wrong with a file must not cost its name.
  private static let pathLimit = 4096
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
