import Architecture

/// A family of LLaVA models by its `model_type`: what its configuration class in transformers assumes
/// where a file is silent.
struct LlavaFamily: Equatable {
  /// How pictures become tiles.
  struct Tiling: Equatable {
    /// Heights and widths of grids, in pixels.
    let grids: [[Int]]
    /// `vision_aspect_ratio`; nil for a family without it.
    var aspectRatio: String?
    /// Whether images that share a prompt are one tile each.
    var isForOneImage = false
    /// `crop_size` of the image processor; nil: none.
    var cropSize: Int?
    /// `size` of the image processor.
    let size: Int
  }

  let modelType: String
  /// The tower, if there is no `vision_config`, and its `model_type` if that is silent.
  var tower = VisionDefaults.llava
  var textType = TextFamily.llama.modelType
  var featureLayer = -2
  var featureStrategy = "default"
  var imageTokenID = 32000
  /// Names of its image processor, which may end in Fast or Pil.
  let processors: [String]
  /// Nil: each picture is one tile.
  var tiling: Tiling?

  static let llava = LlavaFamily(
    modelType: "llava",
    processors: ["CLIPImageProcessor", "CLIPFeatureExtractor", "LlavaImageProcessor"])

  static let all: [LlavaFamily] = [
    .llava,
    LlavaFamily(
      modelType: "llava_next", processors: ["LlavaNextImageProcessor"],
      tiling: Tiling(
        grids: [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]], cropSize: 224,
        size: 224)),
    LlavaFamily(
      modelType: "llava_onevision", tower: .onevision, textType: "qwen2", featureLayer: -1,
      featureStrategy: "full", imageTokenID: 151646, processors: ["LlavaOnevisionImageProcessor"],
      tiling: Tiling(
        grids: (1...6).flatMap { rows in (1...6).map { [384 * rows, 384 * $0] } },
        aspectRatio: "anyres_max_9", isForOneImage: true, size: 384)),
  ]
}
