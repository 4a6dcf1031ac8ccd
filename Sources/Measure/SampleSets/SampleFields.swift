import TensorCore

/// The members of a JSON object that describe a sample, under the names that sets give them.
struct SampleFields {
  private let object: JSONValue

  /// - Throws: `InputError` if `text` is no JSON object.
  init(parsing text: [UInt8]) throws(InputError) {
    do {
      object = try JSONValue(parsing: text, limits: SampleLimits.json)
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
        guard let value = object[key] else { continue }
        guard let text = value.stringValue else {
          throw InputError("", "'\(key)' is \(value.kind); a string expected")
        }
        if !isBlank(text) { return text }
      }
      return nil
    }
  }

  /// The right answer; a whole number counts as its digits, blank text as none.
  var answer: String? {
    get throws(InputError) {
      switch object["answer"] {
      case nil: return nil
      case .string(let text)?: return isBlank(text) ? nil : text
      case .integer(let number)?: return String(number)
      case let other?: throw InputError("", "'answer' is \(other.kind); a string expected")
      }
    }
  }

  /// The images: `file_name` or `file_names`, one name or a list of them.
  var fileNames: [String] {
    get throws(InputError) {
      for key in ["file_name", "file_names"] {
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
      throw InputError("", "has no 'file_name'")
    }
  }
}

/// Whether nothing of `text` can be seen.
func isBlank(_ text: String) -> Bool { text.allSatisfy(\.isWhitespace) }
