import TensorCore

/// A token that is looked for in text before anything else, as Hugging Face files list it.
struct AddedToken: Equatable {
  var id: Int
  var content: String
  /// Never shown, as BOS is.
  var isSpecial: Bool
  /// Takes the white space on its left or right along.
  var stripsLeft: Bool
  var stripsRight: Bool
  /// Is looked for in normalised text.
  var isNormalized: Bool

  init(
    id: Int, content: String, isSpecial: Bool = true, stripsLeft: Bool = false,
    stripsRight: Bool = false, isNormalized: Bool = false
  ) {
    self.id = id
    self.content = content
    self.isSpecial = isSpecial
    self.stripsLeft = stripsLeft
    self.stripsRight = stripsRight
    self.isNormalized = isNormalized
  }

  /// Reads an entry of `added_tokens` or `added_tokens_decoder`.
  init(_ json: JSONValue, id: Int, file: String) throws(InputError) {
    guard let content = json["content"]?.stringValue, !content.isEmpty else {
      throw InputError(file, "added token \(id) has no content")
    }
    func flag(_ key: String, _ standard: Bool) throws(InputError) -> Bool {
      guard let value = json[key] else { return standard }
      guard let flag = value.boolValue else {
        throw InputError(
          file, "'\(key)' of added token '\(printable(content))' is \(value.kind), not a boolean")
      }
      return flag
    }
    guard try !flag("single_word", false) else {
      throw InputError(
        file, "added token '\(printable(content))' matches whole words only, which is not supported"
      )
    }
    self.init(
      id: id, content: content, isSpecial: try flag("special", false),
      stripsLeft: try flag("lstrip", false), stripsRight: try flag("rstrip", false),
      isNormalized: try flag("normalized", false))
  }
}
