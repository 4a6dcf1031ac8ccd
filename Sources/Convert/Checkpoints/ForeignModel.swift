import Architecture
import TensorCore

/// A model as its files describe it, in our words but not yet checked against itself.
struct ForeignModel {
  let configuration: ModelConfiguration
  /// Nil for a text-only model.
  let imageSteps: ImageSteps?
  let tensors: NamedTensors
  /// Configuration and weight files, in the order they were read.
  let files: [String]
  /// Where tokenizer and template are, for messages; a folder that holds them unless `metadata` does.
  let place: String
  /// Of a GGUF file; nil for a folder.
  let metadata: GGUFMetadata?

  /// Reads the Hugging Face checkpoint at `path`.
  init(_ path: String, visionTower: String?) throws(InputError) {
    let weights = try WeightFiles(at: path)
    let settings = try HuggingFaceConfiguration(folder: weights.folder, visionTower: visionTower)
    var tensors = try NamedTensors(weights.tensors, source: path)
    var paths = weights.paths
    if let visionTower, settings.model.vision != nil, !tensors.hasVision {
      let tower = try WeightFiles(at: visionTower)
      try tensors.addVision(of: NamedTensors(tower.tensors, source: visionTower))
      paths += tower.paths
    }
    configuration = settings.model
    imageSteps = settings.imageSteps
    self.tensors = tensors
    files = settings.files + paths
    place = weights.folder
    metadata = nil
  }

  /// Reads a GGUF model and, if there is one, its vision tower.
  init(_ location: GGUFLocation, visionTower: String?) throws(InputError) {
    if let visionTower {
      throw InputError(
        visionTower, "a separate vision tower is only for checkpoints of the original LLaVA code")
    }
    let shards = try GGUFShards(at: location.model)
    let language = try GGUFLanguageModel(shards)
    let text = try language.configuration()
    var tensors = try language.tensors(text)
    var model = ModelConfiguration(
      family: "llama", name: try language.name, text: text, vision: nil, projector: nil,
      imageTokenID: nil, endOfTextIDs: [])
    var files = shards.paths
    var steps: ImageSteps?
    if let path = location.projector {
      let shards = try GGUFShards(at: path)
      let tower = try GGUFVisionModel(shards)
      let vision = try tower.configuration()
      steps = try tower.imageSteps(imageSize: vision.imageSize)
      model.family = tower.isTiled ? "llava_next" : "llava"
      model.vision = vision
      model.projector = tower.projector()
      // Which id it is, if any, the tokenizer says.
      model.imageTokenID = text.vocabularySize
      tensors.add(tower.tensors)
      files += shards.paths
    }
    configuration = model
    imageSteps = steps
    self.tensors = tensors
    self.files = files
    place = location.model
    metadata = shards.metadata
  }
}
