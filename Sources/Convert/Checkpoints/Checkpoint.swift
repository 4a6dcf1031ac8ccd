package import Architecture
package import TensorCore

/// A file that a model was read from, for its record of origin.
package struct InputFile: Equatable, Sendable {
  /// The last component of its path.
  package let name: String
  package let path: String
  package let byteCount: Int
}

/// A foreign model, checked and in our words: everything the packer needs.
package struct Checkpoint: Sendable {
  package let configuration: ModelConfiguration
  /// Nil for a text-only model.
  package let imageSteps: ImageSteps?
  package let tokenizer: TokenizerModel
  package let template: PromptTemplate
  /// Exactly the tensors of `configuration.tensorGroups`, each of the shape given there and of a
  /// readable type.
  package let tensors: [TensorKey: SourceTensor]
  /// Configuration and weight files, in the order they were read.
  package let inputs: [InputFile]
  /// Tensors of the source that the model has no place for; worth one warning.
  package let ignoredTensors: [String]
  /// The file that vision tower and projector of a GGUF model came from.
  package let projectorFile: String?

  /// Reads a tokenizer and its prompt template from a folder, given the name of a template or nil.
  package typealias TokenizerReading =
    (String, String?) throws(InputError) -> (TokenizerModel, PromptTemplate)

  /// Opens the checkpoint at `path`: a folder, a `.safetensors` file, an index of shards or a
  /// `.gguf` file.
  ///
  /// - Parameters:
  ///   - visionTower: folder of the vision tower, if it is not in the checkpoint (original LLaVA).
  ///   - projector: the file with vision tower and projector of a GGUF model, or "none"; nil takes
  ///     the one beside it.
  ///   - templateName: the prompt template to use instead of the checkpoint's own.
  ///   - isStrict: whether tensors without a place are refused.
  ///   - readTokenizer: reads the tokenizer of a folder.
  package init(
    at path: String, visionTower: String? = nil, projector: String? = nil,
    templateName: String? = nil, isStrict: Bool = false,
    readTokenizer: TokenizerReading = TokenizerFiles.read(folder:templateName:)
  ) throws(InputError) {
    let source: ForeignModel
    let gguf = try GGUFLocation(at: path, projector: projector)
    projectorFile = gguf?.projector
    if let gguf {
      source = try ForeignModel(gguf, visionTower: visionTower)
    } else {
      if let projector {
        throw InputError(projector, "--mmproj is only for GGUF models, and \(path) is none")
      }
      source = try ForeignModel(path, visionTower: visionTower)
    }
    var model = source.configuration
    var named = source.tensors
    let saysTied = model.text.isHeadTied
    model.text.isHeadTied = named.tieHead(saysTied)
    var tensors = try named.take(for: model)
    ignoredTensors = named.extra(beside: model)
    if isStrict, let first = ignoredTensors.first {
      throw InputError(
        path,
        """
        has \(ignoredTensors.count) tensors that the model has no place for, the first \
        '\(printable(first))'
        """)
    }

    var (tokenizer, template) =
      if let metadata = source.metadata {
        try GGUFTokenizer.read(metadata, templateName: templateName)
      } else {
        try readTokenizer(source.place, templateName)
      }
    if let metadata = source.metadata {
      model.endOfTextIDs = try GGUFTokenizer.endOfTextIDs(metadata, tokenizer)
      // Unless the tokenizer has the placeholder, which `fit` finds, it is the next id.
      let isKnown = tokenizer.hasPiece(template.imagePlaceholder)
      if model.vision != nil, !isKnown { model.imageTokenID = tokenizer.pieces.count }
    }
    try tokenizer.fit(&model, placeholder: template.imagePlaceholder, folder: source.place)
    // A stored head that differs wins over the configuration, as in transformers 5.  To compare is
    // to read both, so it comes when all else is known to be right.
    if saysTied, let head = tensors[TensorKey(.head)],
      tensors[TensorKey(.embedding)]?.hasSameContent(as: head) == true
    {
      tensors[TensorKey(.head)] = nil
      model.text.isHeadTied = true
    }
    self.tensors = tensors
    self.tokenizer = tokenizer
    self.template = template
    configuration = model
    imageSteps = source.imageSteps
    var inputs: [InputFile] = []
    for path in source.files {
      guard case .file(let byteCount) = PathKind(of: path) else { continue }
      inputs.append(InputFile(name: lastComponent(path), path: path, byteCount: byteCount))
    }
    self.inputs = inputs
  }
}

extension TokenizerModel {
  fileprivate func hasPiece(_ text: String) -> Bool {
    pieces.contains { $0.bytes.elementsEqual(text.utf8) }
  }

  /// Brings vocabulary and model together: the placeholder of images, and what ends an answer.
  ///
  /// A placeholder that the tokenizer does not know is added at the next id, if that is where the
  /// model has it; one behind the embedding stays outside the vocabulary, as in the original code.
  fileprivate mutating func fit(
    _ model: inout ModelConfiguration, placeholder: String, folder: String
  ) throws(InputError) {
    if let imageID = model.imageTokenID {
      let bytes = Array(placeholder.utf8)
      let shown = "'\(printable(placeholder, limit: 40))'"
      if let found = pieces.firstIndex(where: { $0.bytes == bytes }) {
        // An id behind the vocabulary means that the placeholder is no token of the embedding, as
        // in the original code; a tokenizer that has it all the same says where it is.
        if imageID == model.text.vocabularySize {
          model.imageTokenID = found
        } else if found != imageID {
          throw InputError(
            folder, "the tokenizer has \(shown) at id \(found); the configuration says \(imageID)")
        }
      } else {
        guard pieces.count == imageID else {
          throw InputError(
            folder,
            """
            the tokenizer has no \(shown), and its \(pieces.count) pieces do not end before \
            id \(imageID), where the configuration has it
            """)
        }
        if imageID < model.text.vocabularySize {
          pieces.append(Piece(bytes: bytes, kind: .control))
        }
      }
    }
    let vocabularySize = model.text.vocabularySize
    let hasLoosePlaceholder = model.imageTokenID == vocabularySize
    guard pieces.count <= vocabularySize + (hasLoosePlaceholder ? 1 : 0) else {
      throw InputError(
        folder,
        """
        the tokenizer has \(pieces.count) pieces, but the model only \
        \(vocabularySize) embeddings
        """)
    }
    if model.endOfTextIDs.isEmpty, let eosID { model.endOfTextIDs = [eosID] }
  }
}
