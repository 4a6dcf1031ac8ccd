import TensorCore

/// What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say beside a
/// vocabulary.  Each may be missing; the first that knows wins.
struct SpecialTokenFiles {
  /// "bos_token", "eos_token", "unk_token", "pad_token", "image_token" -> text.
  private(set) var texts: [String: String] = [:]
  /// By rising id.
  private(set) var added: [AddedToken] = []
  private(set) var addsBOS: Bool?
  private(set) var addsEOS: Bool?
  /// False where the space is put before the first run of text only.
  private(set) var isLegacy = true

  private static let roles = ["bos_token", "eos_token", "unk_token", "pad_token", "image_token"]

  init(folder: String) throws(InputError) {
    let configuration = try FolderFile(folder, "tokenizer_config.json").json()
    let map = try FolderFile(folder, "special_tokens_map.json").json()
    for source in [configuration, map] {
      for role in SpecialTokenFiles.roles where texts[role] == nil {
        // A token is written as its text or as an object with its content.
        texts[role] =
          source?.json[role]?.stringValue
          ?? source?.json[role]?["content"]?.stringValue
      }
    }
    addsBOS = configuration?.json["add_bos_token"]?.boolValue
    addsEOS = configuration?.json["add_eos_token"]?.boolValue
    isLegacy = configuration?.json["legacy"]?.boolValue ?? true

    var byID: [Int: AddedToken] = [:]
    if let file = try FolderFile(folder, "added_tokens.json").json() {
      for (content, value) in file.json.objectValue?.members ?? [] {
        guard let id = value.integerValue, id >= 0, !content.isEmpty else {
          throw InputError(file.path, "'\(printable(content))' is \(value.kind), not an id")
        }
        byID[id] = AddedToken(id: id, content: content)
      }
    }
    if let configuration, let decoder = configuration.json["added_tokens_decoder"] {
      for (key, value) in decoder.objectValue?.members ?? [] {
        guard let id = Int(key), id >= 0 else {
          throw InputError(
            configuration.path, "'added_tokens_decoder' has key '\(printable(key))', not an id")
        }
        byID[id] = try AddedToken(value, id: id, file: configuration.path)
      }
    }
    added = byID.values.sorted { $0.id < $1.id }
  }
}
