import Architecture
import Checkpoints
import TensorCore
import TestSupport
import Testing

/// The checkpoints that transformers wrote, in all spellings.
@Suite struct FixtureCheckpointTests {
  private func open(_ spelling: String, tower: String? = nil) throws -> Checkpoint {
    try Checkpoint(
      testing: fixturePath("spellings/\(spelling)"), visionTower: tower,
      pieces: spelling == "e" ? 352 : 354, imageID: spelling == "e" ? nil : 352)
  }

  @Test(arguments: ["b", "c", "d", "f"]) func readsTheSameModelInSpelling(_ name: String) throws {
    let expected = try open("a")
    let found = try open(name)
    var configuration = found.configuration
    configuration.name = expected.configuration.name
    #expect(configuration == expected.configuration)
    #expect(found.imageSteps == expected.imageSteps)
    #expect(found.ignoredTensors.isEmpty)
    #expect(found.tensors.count == expected.tensors.count)
    for (key, tensor) in expected.tensors {
      let other = try #require(found.tensors[key], "\(key)")
      #expect(other.hasSameContent(as: tensor), "\(key)")
    }
  }

  @Test func readsTheOriginalSpellingWithItsTower() throws {
    let expected = try open("a")
    let found = try open("e", tower: fixturePath("spellings/e/vision-tower"))
    #expect(found.ignoredTensors.isEmpty)
    #expect(found.configuration.vision == expected.configuration.vision)
    #expect(found.configuration.projector == expected.configuration.projector)
    #expect(found.configuration.text.vocabularySize == 352)
    #expect(found.configuration.imageTokenID == 352)
    #expect(found.tokenizer.pieces.count == 352)
    for (key, tensor) in expected.tensors {
      let other = try #require(found.tensors[key], "\(key)")
      if key.role == .embedding || key.role == .head {
        // It has no rows for `<image>` and padding.
        let isPrefix = tensor.values().prefix(352 * tensor.columnCount).elementsEqual(
          other.values())
        #expect(isPrefix, "\(key)")
      } else {
        #expect(other.hasSameContent(as: tensor), "\(key)")
      }
    }
    let steps = try #require(found.imageSteps)
    #expect(steps.resize == .padSquare(size: 16, color: [122, 116, 104]))
    #expect(steps.cropSize == 16)
    #expect(steps.mean == expected.imageSteps?.mean)
    #expect(
      found.inputs.map(\.name) == [
        "config.json", "config.json", "preprocessor_config.json", "model.safetensors",
        "model.safetensors",
      ])
  }

  @Test func readsTokenizersAndTemplatesOfTheirOwn() throws {
    let hub = try Checkpoint(at: fixturePath("spellings/a"))
    #expect(hub.tokenizer.pieces[352].bytes == Array("<image>".utf8))
    #expect(hub.template.imagePlaceholder == "<image>")
    let original = try Checkpoint(
      at: fixturePath("spellings/e"), visionTower: fixturePath("spellings/e/vision-tower"))
    #expect(original.tokenizer.pieces.count == 352)
    #expect(original.configuration.imageTokenID == 352)
    #expect(original.configuration.endOfTextIDs == [2])
  }

  @Test(arguments: [
    "attention-bias", "byte-level", "gqa", "mha-tied", "mqa", "one-layer", "rope-linear",
    "rope-llama3", "sharded", "next-vicuna", "next-mistral", "next-qwen2", "onevision",
  ])
  func opensEveryModelStrictly(_ name: String) throws {
    let checkpoint = try Checkpoint(at: fixturePath("models/\(name)"), isStrict: true)
    let imageID = try #require(checkpoint.configuration.imageTokenID)
    let piece = checkpoint.tokenizer.pieces[imageID].bytes
    #expect(String(decoding: piece, as: UTF8.self) == checkpoint.template.imagePlaceholder)
  }

  @Test func asksForTheTowerOfTheOriginalSpelling() throws {
    let problem = """
      'mm_vision_tower' is vision-tower, a model of its own: give the folder that holds it \
      (--vision-tower)
      """
    #expect(throws: InputError(fixturePath("spellings/e/config.json"), problem)) { try open("e") }
  }

  @Test func readsShards() throws {
    let path = fixturePath("models/sharded")
    let names = [
      path, path + "/model.safetensors.index.json", path + "/model-00002-of-00004.safetensors",
    ]
    for name in names {
      let checkpoint = try Checkpoint(testing: name, pieces: 642, imageID: 640)
      #expect(Set(checkpoint.tensors.values.map(\.region.name)).count == 4)
      #expect(checkpoint.tensors.count == checkpoint.configuration.tensorGroups.joined().count)
      #expect(checkpoint.imageSteps?.filter == .bilinear)
      #expect(checkpoint.imageSteps?.mean == [0.5, 0.5, 0.5])
      #expect(checkpoint.inputs.count == 7)
    }
  }

  @Test func readsEveryVariant() throws {
    func configuration(
      _ name: String, pieces: Int = 642, imageID: Int = 640
    ) throws -> ModelConfiguration {
      let path = fixturePath("models/\(name)")
      return try Checkpoint(testing: path, pieces: pieces, imageID: imageID).configuration
    }
    let tied = try configuration("mha-tied")
    #expect(tied.text.isHeadTied)
    #expect(tied.vision?.keepsClassRow == true)
    #expect(tied.vision?.featureLayers == [3])
    #expect(tied.vision?.layerCount == 3)
    #expect(tied.vision?.activation == .gelu)
    #expect(tied.text.normEpsilon == 1e-6)

    let pooled = try configuration("mqa")
    #expect(pooled.text.keyValueHeadCount == 1)
    #expect(pooled.text.rope.theta == 1e6)
    #expect(pooled.vision?.featureLayers == [2, 4])
    #expect(pooled.vision?.layerCount == 4)

    let biased = try configuration("attention-bias")
    #expect(biased.text.hasQueryKeyValueBias && biased.text.hasOutputBias)
    #expect(biased.projector?.hasBias == false)

    let grids = [(2, 1), (1, 2), (2, 2), (1, 3), (3, 1)].map { TileGrid(columns: $0, rows: $1) }
    let next = try configuration("next-vicuna")
    #expect(next.family == "llava_next" && next.vision?.kind == .clip)
    #expect(next.vision?.tiling == Tiling(grids: grids))
    let mistral = try configuration("next-mistral", pieces: 354, imageID: 352)
    #expect(mistral.vision?.featureLayers == [1, 2] && mistral.vision?.tiling?.grids == grids)
    #expect(mistral.text.contextLength == 512)
    let qwen = try configuration("next-qwen2", pieces: 564, imageID: 563)
    #expect(qwen.text.hasQueryKeyValueBias && qwen.text.isHeadTied)
    let onevision = try configuration("onevision", pieces: 565, imageID: 563)
    #expect(onevision.family == "llava_onevision" && onevision.vision?.kind == .siglip)
    #expect(onevision.vision?.tiling?.thinningLimit == 2)
    #expect(onevision.vision?.tiling?.grids.count == 9)
    #expect(onevision.vision?.activation == .geluTanh && onevision.vision?.layerCount == 3)
    #expect(onevision.vision?.rowsPerTile == 36)

    let scaled = try configuration("rope-llama3", pieces: 607, imageID: 605)
    #expect(
      scaled.text.rope
        == RoPEConfiguration(
          theta: 500000,
          scaling: .llama3(
            factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 64)))
  }
}
