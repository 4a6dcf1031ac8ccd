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

  /// Reads a tokenizer and its prompt template from a folder, given the name of a template or nil.
  package typealias TokenizerReading =
    (String, String?) throws(InputError) -> (TokenizerModel, PromptTemplate)

  /// Opens the checkpoint at `path`: a folder, a `.safetensors` file or an index of shards.
  ///
  /// - Parameters:
  ///   - visionTower: folder of the vision tower, if it is not in the checkpoint (original LLaVA).
  ///   - templateName: the prompt template to use instead of the checkpoint's own.
  ///   - isStrict: whether tensors without a place are refused.
  package init(
    at path: String, visionTower: String? = nil, templateName: String? = nil,
    isStrict: Bool = false,
    readTokenizer: TokenizerReading = TokenizerFiles.read(folder:templateName:)
  ) throws(InputError) {
    let weights = try WeightFiles(at: path)
    let settings = try HuggingFaceConfiguration(folder: weights.folder, visionTower: visionTower)
    var model = settings.model
    var named = try NamedTensors(weights.tensors, source: path)
    var weightPaths = weights.paths
    if let visionTower, model.vision != nil, !named.hasVision {
      let tower = try WeightFiles(at: visionTower)
      try named.addVision(of: NamedTensors(tower.tensors, source: visionTower))
      weightPaths += tower.paths
    }
    model.text.isHeadTied = named.tieHead(model.text.isHeadTied)
    tensors = try named.take(for: model)
    ignoredTensors = named.extra(beside: model)
    if isStrict, let first = ignoredTensors.first {
      throw InputError(
        path,
        """
        has \(ignoredTensors.count) tensors that the model has no place for, the first \
        '\(printable(first))'
        """)
    }

    var (tokenizer, template) = try readTokenizer(weights.folder, templateName)
    try tokenizer.fit(&model, placeholder: template.imagePlaceholder, folder: weights.folder)
    self.tokenizer = tokenizer
    self.template = template
    configuration = model
    imageSteps = settings.imageSteps
    var inputs: [InputFile] = []
    for path in settings.files + weightPaths {
      guard case .file(let byteCount) = PathKind(of: path) else { continue }
      inputs.append(InputFile(name: lastComponent(path), path: path, byteCount: byteCount))
    }
    self.inputs = inputs
  }
}

/// The tensors of one source, sorted out by what they are.
private struct NamedTensors {
  let source: String
  var byKey: [TensorKey: SourceTensor] = [:]
  /// Names without a meaning.
  var unknown: [String] = []

  init(_ tensors: [String: SourceTensor], source: String) throws(InputError) {
    self.source = source
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      switch WeightNames.meaning(of: name) {
      case .tensor(let key):
        if let other = byKey.updateValue(tensor, forKey: key) {
          throw InputError(
            source,
            """
            tensors '\(printable(other.name))' and '\(printable(name))' are both \(key)
            """)
        }
      case .ignored: break
      case .unknown: unknown.append(name)
      }
    }
  }

  private static func isVision(_ key: TensorKey) -> Bool {
    (TensorRole.classEmbedding.rawValue..<TensorRole.projectorIn.rawValue)
      .contains(key.role.rawValue)
  }

  var hasVision: Bool { byKey.keys.contains(where: Self.isVision) }

  /// Takes the vision tower of `other`, which may hold more than that.
  mutating func addVision(of other: NamedTensors) {
    for (key, tensor) in other.byKey where Self.isVision(key) { byKey[key] = tensor }
    unknown += other.unknown
  }

  /// Settles whether head and embedding are one matrix, as transformers 5 does: a stored head that
  /// differs wins over the configuration, and a lone head serves as the embedding.
  ///
  /// - Parameter isTied: what the configuration says.
  mutating func tieHead(_ isTied: Bool) -> Bool {
    guard isTied, let head = byKey[TensorKey(.head)] else { return isTied }
    if let embedding = byKey[TensorKey(.embedding)], !embedding.hasSameContent(as: head) {
      return false
    }
    byKey[TensorKey(.embedding)] = head
    byKey[TensorKey(.head)] = nil
    return true
  }

  /// The tensors that `model` needs, each checked.
  func take(for model: ModelConfiguration) throws(InputError) -> [TensorKey: SourceTensor] {
    var taken: [TensorKey: SourceTensor] = [:]
    for specification in model.tensorGroups.joined() {
      let key = specification.key
      guard let found = byKey[key] else {
        throw InputError(
          source,
          """
          tensor \(key) \(specification.shape) is missing \
          (a name that ends in '\(WeightNames.ending(of: key))')
          """)
      }
      let name = printable(found.name)
      guard found.type.isReadable else {
        throw InputError(
          found.region.name, "'\(name)' is \(found.type.rawValue); F32, F16 or BF16 is needed")
      }
      // The convolution over patches is a matrix here: its input is one patch, channel by channel.
      let patch = model.vision.map { [$0.hiddenSize, 3, $0.patchSize, $0.patchSize] } ?? []
      let expected = key.role == .patchEmbedding ? Shape(patch) : specification.shape
      guard found.shape == expected, let tensor = found.reshaped(to: specification.shape) else {
        throw InputError(
          found.region.name, "'\(name)' is \(found.shape); the configuration needs \(expected)")
      }
      taken[key] = tensor
    }
    return taken
  }

  /// Names of tensors that `model` has no place for, besides those that are known to be unused.
  func extra(beside model: ModelConfiguration) -> [String] {
    let needed = Set(model.tensorGroups.joined().map(\.key))
    let rest = byKey.filter { key, _ in
      if needed.contains(key) { return false }
      // The tower is cut after the last layer that any feature needs.
      let isBeyondTower = Self.isVision(key) && (key.layer ?? -1) >= (model.vision?.layerCount ?? 0)
      return !(isBeyondTower && model.vision != nil)
    }
    return (unknown + rest.values.map(\.name)).sorted()
  }
}

extension TokenizerModel {
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
