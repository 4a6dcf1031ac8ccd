package import TensorCore

/// Texts that a model reads token by token: the lines of a file.
package enum TextLines {
  /// Whether the argument of a set means such a file.
  package static func isOne(_ argument: String) -> Bool { argument.hasSuffix(".txt") }

  // Far more than any test set.
  private static let limit = 1 << 26

  /// Each line that is not blank as a raw sample without images; the file is the task.
  package static func read(_ path: String) throws(InputError) -> SampleSet {
    let bytes = try fileBytes(at: path, limit: limit)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw InputError(path, "is not UTF-8")
    }
    let name = path.split(separator: "/").last.map(String.init) ?? path
    var samples: [Sample] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    where !line.allSatisfy(\.isWhitespace) {
      samples.append(
        Sample(
          id: "\(name):\(index + 1)", task: name, images: [], question: String(line),
          isRaw: true))
    }
    return SampleSet(samples: samples)
  }
}
