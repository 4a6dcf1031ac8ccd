import TensorCore

/// Texts in which `<image>` marks where an image goes, as LLaVA's files have them.
///
/// Our prompts put images before the question.  So does LLaVA's own training: it moves the mark of
/// a question to the front and trims the rest.
enum ImageMarks {
  private static let mark = "<image>"

  /// `text` without its marks.
  ///
  /// - Throws: `InputError` if there are marks, but not one per image, or if several images stand
  ///   between words: before the question they would no longer say what they said.
  static func removed(from text: String, imageCount: Int) throws(InputError) -> String {
    var parts: [Substring] = []
    var rest = text[...]
    while let range = rest.firstRange(of: mark) {
      parts.append(rest[..<range.lowerBound])
      rest = rest[range.upperBound...]
    }
    parts.append(rest)
    let count = parts.count - 1
    guard count == 0 || count == imageCount else {
      throw InputError("", "the question has \(count) <image> marks for \(imageCount) images")
    }
    guard count < 2 || parts.count(where: { !isBlank($0) }) < 2 else {
      throw InputError("", "several images stand between the words of the question")
    }
    return trimmed(parts.joined())
  }
}
