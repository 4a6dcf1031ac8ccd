import Architecture
import Checkpoints
import TensorCore
import TestSupport
import Testing

/// `image_grid_pinpoints` and what goes with it, for a tower with tiles of 7 x 7 pixels.
@Suite struct TilingSettingsTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let grids: JSONValue = [[7, 14], [14, 7]]

  /// The tiny checkpoint as a LLaVA-NeXT.
  private static let next: TinyCheckpoint = {
    var tiny = TinyCheckpoint()
    tiny.config = tiny.config.setting("model_type", "llava_next")
      .setting("image_grid_pinpoints", grids)
    tiny.processor = [
      "image_processor_type": "LlavaNextImageProcessor", "size": ["shortest_edge": 7],
      "crop_size": ["height": 7, "width": 7], "image_grid_pinpoints": grids,
    ]
    return tiny
  }()

  /// The same as a LLaVA-OneVision.
  private static let onevision: TinyCheckpoint = {
    var tiny = next
    tiny.config = tiny.config.setting("model_type", "llava_onevision")
      .setting("vision_config.model_type", "siglip_vision_model")
    tiny.processor = [
      "image_processor_type": "LlavaOnevisionImageProcessor", "size": ["height": 7, "width": 7],
      "image_mean": [0.5, 0.5, 0.5], "image_grid_pinpoints": grids,
    ]
    return tiny
  }()

  private func read(_ tiny: TinyCheckpoint) throws -> HuggingFaceConfiguration {
    try HuggingFaceConfiguration(folder: tiny.write(to: folder))
  }

  @Test func readsLLaVANeXT() throws {
    let found = try read(Self.next)
    #expect(found.model.family == "llava_next")
    #expect(
      found.model.vision?.tiling
        == Tiling(grids: [TileGrid(columns: 2, rows: 1), TileGrid(columns: 1, rows: 2)]))
    #expect(
      found.imageSteps
        == ImageSteps(
          resize: .exact(size: 7), filter: .bicubic, cropSize: nil, rescaleFactor: 1 / 255,
          mean: [0.48145466, 0.4578275, 0.40821073],
          standardDeviation: [0.26862954, 0.26130258, 0.27577711]))
  }

  @Test func readsLLaVAOneVision() throws {
    let found = try read(Self.onevision)
    let vision = try #require(found.model.vision)
    #expect(vision.kind == .siglip && !vision.keepsClassRow && vision.featureLayers == [2])
    #expect(vision.activation == .geluTanh && vision.normEpsilon == 1e-6)
    #expect(vision.tiling?.thinningLimit == 9)
    #expect(found.imageSteps?.resize == .exact(size: 7))
    #expect(
      found.imageSteps?.resizeOfSeveral == .padSquare(size: 7, color: [127, 127, 127]))
  }

  @Test func assumesWhatTransformersAssumes() throws {
    var tiny = Self.next
    tiny.config = ["model_type": "llava_next"]
    tiny.processor = ["size": 336, "crop_size": 336]
    let next = try read(tiny).model
    #expect(next.vision?.largestLayout.rowCount == 2928 && next.imageTokenID == 32000)
    tiny.config = ["model_type": "llava_onevision"]
    tiny.processor = [:]
    let onevision = try read(tiny).model
    #expect(onevision.vision?.hiddenSize == 1152 && onevision.vision?.layerCount == 26)
    #expect(onevision.vision?.largestLayout.rowCount == 8154)
    #expect(onevision.text.hasQueryKeyValueBias && onevision.imageTokenID == 151646)
  }

  @Test(
    arguments: [
      ("image_grid_pinpoints", [], "'image_grid_pinpoints' has 0 sizes; 1...256 are expected"),
      (
        "image_grid_pinpoints", .array(Array(repeating: [7, 7], count: 257)),
        "'image_grid_pinpoints' has 257 sizes; 1...256 are expected"
      ),
      ("image_grid_pinpoints", "(1x1)", "'image_grid_pinpoints' is a string; an array is expected"),
      (
        "image_grid_pinpoints", [[7]],
        "'image_grid_pinpoints' holds something else than pairs of height and width"
      ),
      (
        "image_grid_pinpoints", [[7, 0]],
        "'image_grid_pinpoints' is 0; 1...65535 is expected"
      ),
      (
        "image_grid_pinpoints", [[7, 1_000_000_000_000]],
        "'image_grid_pinpoints' is 1000000000000; 1...65535 is expected"
      ),
      (
        "image_grid_pinpoints", [[7, 13]],
        """
        'image_grid_pinpoints' has a size of 7 x 13, which is not of whole tiles of 7 within the \
        limits of 256 tiles, 65535 pixels a side, 134217728 pixels and 1048576 rows
        """
      ),
      (
        "image_grid_pinpoints", [[119, 112]],
        """
        'image_grid_pinpoints' has a size of 119 x 112, which is not of whole tiles of 7 within the \
        limits of 256 tiles, 65535 pixels a side, 134217728 pixels and 1048576 rows
        """
      ),
      (
        "vision_feature_select_strategy", "full",
        "'vision_feature_select_strategy' is 'full', but tiles have no place for a class row"
      ),
    ] as [(String, JSONValue, String)])
  func refuses(_ key: String, _ value: JSONValue, _ problem: String) {
    var tiny = Self.next
    tiny.config = tiny.config.setting(key, value)
    #expect(throws: InputError(folder.path("tiny/config.json"), problem)) { try read(tiny) }
  }

  @Test(arguments: ["anyres", "anyres_max_", "anyres_max_0", "anyres_max_257", "pad"])
  func refusesOtherAspectRatios(_ ratio: String) {
    var tiny = Self.onevision
    tiny.config = tiny.config.setting("vision_aspect_ratio", .string(ratio))
    let problem =
      "'vision_aspect_ratio' is '\(ratio)'; anyres_max_1 to anyres_max_256 is expected"
    #expect(throws: InputError(folder.path("tiny/config.json"), problem)) { try read(tiny) }
  }

  @Test(
    arguments: [
      (
        "image_grid_pinpoints", [[14, 7], [7, 14]],
        "'image_grid_pinpoints' differs from that of the model's configuration"
      ),
      ("size", 14, "'size' makes tiles of 14 pixels; the vision tower takes 7"),
      ("crop_size", nil, "'crop_size' makes tiles of 224 pixels; the vision tower takes 7"),
      (
        "image_processor_type", "LlavaImageProcessor",
        """
        'image_processor_type' is 'LlavaImageProcessor', which is not supported \
        (LlavaNextImageProcessor, LlavaNextImageProcessorFast, LlavaNextImageProcessorPil are)
        """
      ),
    ] as [(String, JSONValue?, String)])
  func refusesProcessors(_ key: String, _ value: JSONValue?, _ problem: String) {
    var tiny = Self.next
    tiny.processor = tiny.processor?.setting(key, value)
    let file = folder.path("tiny/preprocessor_config.json")
    #expect(throws: InputError(file, problem)) { try read(tiny) }
  }
}
