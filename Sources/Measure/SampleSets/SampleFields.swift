import TensorCore

/// The members of a JSON object that describe a sample, under the names that sets give them.
struct SampleFields {
  let object: JSONValue

  /// - Throws: `InputError` if `text` is no JSON object.
  init(parsing text: [UInt8], limits: JSONLimits = SampleLimits.json) throws(InputError) {
    do {
      object = try JSONValue(parsing: text, limits: limits)
    } catch {
      throw InputError("", "not valid JSON at byte \(error.offset): \(error.problem)")
    }
    guard object.objectValue != nil else {
      throw InputError("", "\(object.kind) where an object is expected")
    }
  }

  /// What is asked: the first of `question`, `prompt` and `text` that is there and not blank.
  var question: String? {
    get throws(InputError) {
      for key in ["question", "prompt", "text"] {
        if let text = try text(key), !isBlank(text) { return text }
      }
      return nil
    }
  }

  /// The right answer, or else what people wrote under the image: `answer` or `caption`.  A whole
  /// number counts as its digits, blank text as none.
  var answer: String? {
    get throws(InputError) {
      if let answer = try words("answer") { return answer }
      return try words("caption")
    }
  }

  /// The group within the set; a whole number counts as its digits.
  var category: String? {
    get throws(InputError) { try words("category") }
  }

  /// The images of metadata: `file_name` or `file_names`, one name or a list of them.
  var fileNames: [String] {
    get throws(InputError) { try names(["file_name", "file_names"]) }
  }

  /// The images of LLaVA's files: `image`, one name or a list of them.
  var imageNames: [String] {
    get throws(InputError) { try names(["image"]) }
  }

  private func text(_ key: String) throws(InputError) -> String? {
    guard let value = object[key] else { return nil }
    guard let text = value.stringValue else {
      throw InputError("", "'\(key)' is \(value.kind); a string expected")
    }
    return text
  }

  private func words(_ key: String) throws(InputError) -> String? {
    if let number = object[key]?.integerValue { return String(number) }
    return try text(key).flatMap { isBlank($0) ? nil : $0 }
  }

  private func names(_ keys: [String]) throws(InputError) -> [String] {
    for key in keys {
      guard let value = object[key] else { continue }
      if let name = value.stringValue { return [name] }
      var names: [String] = []
      for item in value.arrayValue ?? [] {
        guard let name = item.stringValue else {
          throw InputError("", "'\(key)' holds \(item.kind); file names expected")
        }
        names.append(name)
      }
      guard !names.isEmpty else {
        throw InputError("", "'\(key)' must be a file name or a list of them")
      }
      return names
    }
    throw InputError("", "has no '\(keys[0])'")
  }
}

/// Whether nothing of `text` can be seen.
func isBlank(_ text: some StringProtocol) -> Bool { text.allSatisfy(\.isWhitespace) }

/// `text` without white space at both ends.
func trimmed(_ text: some StringProtocol) -> String {
  var rest = text[...]
  while rest.first?.isWhitespace == true { rest = rest.dropFirst() }
  while rest.last?.isWhitespace == true { rest = rest.dropLast() }
  return String(rest)
}

/// The text of a file without the line break at its end; nil if it is blank.
func plainText(_ bytes: [UInt8]) throws(InputError) -> String? {
  var bytes = bytes[...]
  // Some editors put a byte order mark in front, which would become a token of the prompt.
  if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
  while let last = bytes.last, last == UInt8(ascii: "\n") || last == UInt8(ascii: "\r") {
    bytes.removeLast()
  }
  guard let text = String(validating: bytes, as: UTF8.self) else {
    throw InputError("", "is not UTF-8")
  }
  return isBlank(text) ? nil : text
}
