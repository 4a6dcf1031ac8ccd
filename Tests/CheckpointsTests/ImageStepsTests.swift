import Architecture
import Checkpoints
import TensorCore
import TestSupport
import Testing

/// How `preprocessor_config.json` becomes image steps, for a tower that takes 7 x 7 pixels.
@Suite struct ImageStepsTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func read(_ processor: JSONValue?) throws -> ImageSteps {
    var tiny = TinyCheckpoint()
    tiny.processor = processor
    let path = try tiny.write(to: folder)
    return try #require(try HuggingFaceConfiguration(folder: path).imageSteps)
  }

  private static let plain: JSONValue = ["size": 7, "crop_size": 7]

  @Test func assumesWhatCLIPAssumes() throws {
    #expect(
      try read(Self.plain)
        == ImageSteps(
          resize: .shortestEdge(size: 7), filter: .bicubic, cropSize: 7, rescaleFactor: 1 / 255,
          mean: [0.48145466, 0.4578275, 0.40821073],
          standardDeviation: [0.26862954, 0.26130258, 0.27577711]))
  }

  @Test func readsEveryField() throws {
    let steps = try read([
      "feature_extractor_type": "CLIPFeatureExtractor", "size": ["shortest_edge": 9],
      "crop_size": ["height": 7, "width": 7], "resample": 1, "rescale_factor": 0.5,
      "image_mean": [0.1, 0.2, 0.3], "image_std": 2,
    ])
    #expect(
      steps
        == ImageSteps(
          resize: .shortestEdge(size: 9), filter: .lanczos, cropSize: 7, rescaleFactor: 0.5,
          mean: [0.1, 0.2, 0.3], standardDeviation: [2, 2, 2]))
    for (number, filter) in [(0, ImageSteps.Filter.nearest), (2, .bilinear), (3, .bicubic)] {
      #expect(try read(Self.plain.setting("resample", .integer(number))).filter == filter)
    }
  }

  @Test func leavesOutStepsThatAreOff() throws {
    let off = try read([
      "size": ["height": 7, "width": 7], "do_center_crop": false, "do_rescale": false,
      "do_normalize": false,
    ])
    #expect(
      off
        == ImageSteps(
          resize: .exact(size: 7), filter: .bicubic, cropSize: nil, rescaleFactor: 1,
          mean: [0, 0, 0], standardDeviation: [1, 1, 1]))
    #expect(try read(["do_resize": false, "crop_size": 7]).resize == .none)
  }

  @Test func padsWithTheMeanColor() throws {
    let padded = try read([
      "image_processor_type": "LlavaImageProcessor", "do_pad": true, "size": ["shortest_edge": 7],
      "crop_size": 7, "image_mean": [0.5, 0, 1],
    ])
    #expect(padded.resize == .padSquare(size: 7, color: [127, 0, 255]))
  }

  @Test func prefersTheProcessorOfTransformers5() throws {
    let path = try TinyCheckpoint().write(to: folder)
    try folder.write(
      JSONValue.object(JSONObject([("image_processor", Self.plain.setting("resample", 2))])).text,
      to: "tiny/processor_config.json")
    #expect(try HuggingFaceConfiguration(folder: path).imageSteps?.filter == .bilinear)
    try folder.write("{\"patch_size\":3}", to: "tiny/processor_config.json")
    #expect(try HuggingFaceConfiguration(folder: path).imageSteps?.filter == .bicubic)
  }

  @Test func asksForTheFile() throws {
    #expect(
      throws: InputError(
        folder.path("tiny"),
        "has no preprocessor_config.json, which says how images become pixels")
    ) { try read(nil) }
  }

  @Test(
    arguments: [
      (
        ["image_processor_type": "SiglipImageProcessor"],
        """
        'image_processor_type' is 'SiglipImageProcessor', which is not supported \
        (CLIPImageProcessor, CLIPImageProcessorFast, CLIPImageProcessorPil, CLIPFeatureExtractor, \
        CLIPFeatureExtractorFast, CLIPFeatureExtractorPil, LlavaImageProcessor, \
        LlavaImageProcessorFast, LlavaImageProcessorPil are)
        """
      ),
      ([:], "images end up 224 pixels wide; the vision tower takes 7"),
      (["size": 6, "crop_size": 7], "'crop_size' is 7, more than the resized side of 6"),
      (["size": ["longest_edge": 7], "crop_size": 7], "'size.longest_edge' is not supported"),
      (["size": ["height": 7]], "'size' has no 'height' and 'width'"),
      (["size": ["height": 7, "width": 8]], "'size' is 7 x 8; only squares are supported"),
      (["size": 0], "'size' is 0; 1...16384 is expected"),
      (
        ["size": 7, "do_center_crop": false],
        "'do_center_crop' is false, so images would not end up square"
      ),
      (["do_resize": false, "do_pad": true], "'do_resize' is false, but images are padded"),
      (
        ["size": 7, "do_pad": true, "image_mean": 2],
        "'image_mean' is outside 0...1, but images are padded with it"
      ),
      (["image_mean": [1, 2]], "'image_mean' has 2 numbers; 3 are expected"),
      (["image_mean": 1e40], "'image_mean' is 1e+40; -1000000000.0...1000000000.0 is expected"),
      (["image_std": [1, 0, 1]], "'image_std' is 0.0; 1e-09...1000000000.0 is expected"),
      (
        ["size": 7, "crop_size": 7, "rescale_factor": 0],
        "'rescale_factor' is 0.0; 1e-09...1000000000.0 is expected"
      ),
      (
        ["size": 7, "crop_size": 7, "resample": 4],
        "'resample' is 4 (box or Hamming), which is not supported"
      ),
    ] as [(JSONValue, String)])
  func refuses(_ processor: JSONValue, _ problem: String) {
    #expect(throws: InputError(folder.path("tiny/preprocessor_config.json"), problem)) {
      try read(processor)
    }
  }
}
