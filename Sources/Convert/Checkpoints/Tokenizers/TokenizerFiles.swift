package import Architecture
package import TensorCore

/// Reads the tokenizer and the chat template of a checkpoint folder in the Hugging Face layout.
package enum TokenizerFiles {
  /// Reads tokenizer.json, or where there is none tokenizer.model, with the files that name special
  /// tokens; and the chat template of chat_template.jinja, chat_template.json,
  /// processor_config.json or tokenizer_config.json, the first that has one.
  ///
  /// A SentencePiece vocabulary without any template gets the one of the original LLaVA-1.5
  /// ("llava_v1"), whose checkpoints bring none.
  ///
  /// - Parameter templateName: one of `PromptTemplate.names`, instead of the folder's template.
  /// - Throws: `InputError` if a file is malformed, or asks for a step that `Tokenizer` lacks.
  package static func read(
    folder: String, templateName: String? = nil
  ) throws(InputError) -> (TokenizerModel, PromptTemplate) {
    let specials = try SpecialTokenFiles(folder: folder)
    let model = try tokenizer(folder, specials)
    let placeholder = try imagePlaceholder(folder, specials)
    let template = try template(
      templateName, model: model, jinja: templateName == nil ? jinja(folder) : nil,
      specialTexts: specials.texts, placeholder: placeholder, source: folder)
    return (model, template)
  }

  private static func tokenizer(
    _ folder: String, _ specials: SpecialTokenFiles
  ) throws(InputError) -> TokenizerModel {
    if let (path, json) = try FolderFile(folder, "tokenizer.json").json() {
      return try TokenizerDocument.read(json, file: path, specials: specials)
    }
    let file = FolderFile(folder, "tokenizer.model")
    if let bytes = try file.bytes() {
      return try SentencePieceFile.read(bytes, file: file.path, specials: specials)
    }
    throw InputError(folder, "has neither tokenizer.json nor tokenizer.model")
  }

  private static func imagePlaceholder(
    _ folder: String, _ specials: SpecialTokenFiles
  ) throws(InputError) -> String {
    let processor = try FolderFile(folder, "processor_config.json").json()?.json
    let text = processor?["image_token"]?.stringValue ?? specials.texts["image_token"] ?? "<image>"
    return text.isEmpty ? "<image>" : text
  }

  /// The template named `name`, else what `jinja` comes to, else the one of LLaVA-1.5 for a
  /// SentencePiece vocabulary.
  ///
  /// - Parameters:
  ///   - jinja: the text of a chat template and the file that has it.
  ///   - source: what lacks a template if there is none, for messages.
  static func template(
    _ name: String?, model: TokenizerModel, jinja: (file: String, text: String)?,
    specialTexts: [String: String], placeholder: String, source: String
  ) throws(InputError) -> PromptTemplate {
    let names = PromptTemplate.names.joined(separator: ", ")
    if let name {
      guard let template = PromptTemplate.named(name, imagePlaceholder: placeholder) else {
        throw InputError("", "--template '\(printable(name))' is unknown; known are \(names)")
      }
      return template
    }
    if let jinja {
      return try ChatTemplate.read(
        jinja.text, file: jinja.file, specialTexts: specialTexts, placeholder: placeholder,
        addsBOS: model.flags.contains(.addsBOS))
    }
    guard model.kind != .byteLevel,
      let template = PromptTemplate.named(
        PromptTemplate.llavaDefault, imagePlaceholder: placeholder)
    else {
      throw InputError(source, "has no chat template; choose one with --template (\(names))")
    }
    return template
  }

  /// The text of the folder's chat template and the file that has it.
  private static func jinja(_ folder: String) throws(InputError) -> (file: String, text: String)? {
    let plain = FolderFile(folder, "chat_template.jinja")
    if let bytes = try plain.bytes(limit: 1 << 20) {
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw InputError(plain.path, "is not UTF-8")
      }
      return (plain.path, text)
    }
    for name in ["chat_template.json", "processor_config.json", "tokenizer_config.json"] {
      guard let (path, json) = try FolderFile(folder, name).json(),
        let value = json["chat_template"]
      else { continue }
      if let text = value.stringValue { return (path, text) }
      // A list of named templates: the one called "default".
      for entry in value.arrayValue ?? [] where entry["name"]?.stringValue == "default" {
        if let text = entry["template"]?.stringValue { return (path, text) }
      }
      throw InputError(path, "'chat_template' is \(value.kind) without a template named 'default'")
    }
    return nil
  }
}
