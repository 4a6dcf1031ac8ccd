import Architecture
import Checkpoints
import TensorCore
import TestSupport
import Testing

/// Vision towers and projectors of GGUF models (mmproj).
@Suite struct GGUFVisionTests {
  private let folder: TemporaryFolder
  private let model: String

  init() throws {
    folder = try TemporaryFolder()
    model = try folder.write(TinyGGUF.model.bytes, to: "model.gguf")
  }

  /// The tiny model with a tower that `change` has changed.
  private func read(_ change: (inout TinyGGUF) -> Void = { _ in }) throws -> Checkpoint {
    var tiny = TinyGGUF.projector
    change(&tiny)
    return try Checkpoint(
      at: model, projector: try folder.write(tiny.bytes, to: "mmproj.gguf"), isStrict: true)
  }

  private func vision(_ change: (inout TinyGGUF) -> Void) throws -> VisionConfiguration {
    try #require(try read(change).configuration.vision)
  }

  private func problem(_ change: (inout TinyGGUF) -> Void) throws -> String? {
    do {
      _ = try read(change)
      return nil
    } catch let error as InputError {
      #expect(error.file == folder.path("mmproj.gguf"))
      return error.problem
    }
  }

  @Test func readsTheTinyTower() throws {
    let found = try read()
    let vision = try #require(found.configuration.vision)
    #expect(vision.layerCount == 2 && vision.featureLayers == [2] && vision.rowsPerTile == 4)
    #expect(vision.activation == .quickGELU && !vision.keepsClassRow)
    #expect(found.configuration.projector?.hasBias == true)
    #expect(found.imageSteps?.resize == .padSquare(size: 4, color: [127, 63, 0]))
    // The placeholder is no token of the vocabulary.
    #expect(found.configuration.imageTokenID == 5)
    #expect(found.projectorFile == folder.path("mmproj.gguf"))
  }

  @Test func takesTheFeaturesThatAreNamed() throws {
    let layers: [Int32] = [1, 2]
    let both = try vision { tiny in
      tiny.set("clip.vision.feature_layer", layers)
      tiny.tensors.removeAll { $0.name == "mm.0.weight" }
      tiny.add("mm.0.weight", [16, 8])
    }
    #expect(both.featureLayers == [1, 2])
    for layers: [Int32] in [[], [-2], [3]] {
      #expect(
        try problem { $0.set("clip.vision.feature_layer", layers) }?.contains(
          "'clip.vision.feature_layer' is \(layers)") == true)
    }
  }

  @Test func takesTheLastLayerStoredOtherwise() throws {
    // The configuration counts layers that are not stored.
    let cut = try vision { $0.set("clip.vision.block_count", UInt32(3)) }
    #expect(cut.layerCount == 2 && cut.featureLayers == [2])
    // With the norm behind its last layer the tower is whole, and LLaVA takes the one before.
    let whole = try vision {
      $0.add("v.post_ln.weight", [8])
      $0.add("v.post_ln.bias", [8])
    }
    #expect(whole.layerCount == 1 && whole.featureLayers == [1])
  }

  @Test func ordersFeedForwardMatricesByShape() throws {
    let expected = try read()
    let swapped = try read { tiny in
      for place in tiny.tensors.indices {
        let parts = tiny.tensors[place].name.split(separator: ".").map(String.init)
        let swaps = ["ffn_up": "ffn_down", "ffn_down": "ffn_up"]
        tiny.tensors[place].name = parts.map { swaps[$0] ?? $0 }.joined(separator: ".")
      }
    }
    for role in [TensorRole.visionUp, .visionUpBias, .visionDown, .visionDownBias] {
      for layer in 0..<2 {
        let key = TensorKey(role, layer: layer)
        let values = try #require(swapped.tensors[key]).values()
        #expect(values == expected.tensors[key]?.values(), "\(key)")
      }
    }
  }

  @Test func readsActivationsAndAspects() throws {
    #expect(try vision { $0.set("clip.use_gelu", true) }.activation == .gelu)
    #expect(try vision { $0.set("clip.use_silu", true) }.activation == .silu)
    let square = try read { $0.set("clip.vision.image_aspect_ratio", "square") }
    #expect(square.imageSteps?.resize == .shortestEdge(size: 4))
  }

  /// Turns the tiny tower into one of LLaVA-1.6, with tiles of 4 pixels.
  private static func tile(_ tiny: inout TinyGGUF, _ sizes: [Int32], newline: String = "v") {
    tiny.set("clip.vision.mm_patch_merge_type", "spatial_unpad")
    tiny.set("clip.vision.image_grid_pinpoints", sizes)
    tiny.add("\(newline).image_newline", [8])
  }

  @Test(arguments: ["model", "v"]) func readsTheTilesOfLLaVA16(newline: String) throws {
    let found = try read { tiny in
      Self.tile(&tiny, [8, 4, 4, 8, 12, 4], newline: newline)
      tiny.set("clip.vision.image_aspect_ratio", "anyres")
    }
    #expect(found.configuration.family == "llava_next")
    let grids = found.configuration.vision?.tiling?.grids
    #expect(
      grids == [
        TileGrid(columns: 2, rows: 1), TileGrid(columns: 1, rows: 2),
        TileGrid(columns: 3, rows: 1),
      ])
    #expect(found.imageSteps?.resize == .exact(size: 4) && found.imageSteps?.cropSize == nil)
    #expect(found.tensors[TensorKey(.imageNewline)]?.shape == [8])
  }

  @Test func refusesTilesThatAreNone() throws {
    let key = "'clip.vision.image_grid_pinpoints'"
    for (sizes, expected): ([Int32], String) in [
      ([], "has 0 numbers"), ([8], "has 1 numbers"), ([8, 6], "has a size of 8 x 6"),
      ([0, 4], "has a size of 0 x 4"), ([-4, 4], "has a size of -4 x 4"),
      ([2_000_000_000, 4], "has a size of 2000000000 x 4"), ([68, 64], "has a size of 68 x 64"),
    ] {
      let problem = try problem { Self.tile(&$0, sizes) }
      #expect(problem?.hasPrefix("\(key) \(expected)") == true, "\(problem ?? "read")")
    }
    #expect(
      try problem { $0.set("clip.vision.mm_patch_merge_type", "spatial_unpad") }
        == "\(key) is missing, which LLaVA-1.6 needs")
    #expect(
      try problem { tiny in
        Self.tile(&tiny, [8, 4])
        tiny.tensors.removeAll { $0.name == "v.image_newline" }
      }?.contains("imageNewline") == true)
    #expect(
      try problem { tiny in
        Self.tile(&tiny, [8, 4])
        tiny.set("clip.vision.image_aspect_ratio", "pad")
      } == "'clip.vision.image_aspect_ratio' is 'pad', which is not supported (anyres are)")
  }

  @Test func refusesTowersOfOtherModels() throws {
    #expect(
      try problem { $0.set("clip.projector_type", "resampler") }
        == "'clip.projector_type' is 'resampler', which is not supported (mlp is)")
    #expect(
      try problem { $0.set("clip.vision.mm_patch_merge_type", "maxpool2x2") }
        == "'clip.vision.mm_patch_merge_type' is 'maxpool2x2', which is not supported (flat, "
        + "spatial_unpad are)")
    #expect(
      try problem { $0.set("clip.vision.image_aspect_ratio", "anyres") }
        == "'clip.vision.image_aspect_ratio' is 'anyres', which is not supported (pad, square are)")
    #expect(
      try problem { $0.set("clip.has_vision_encoder", false) }?.contains("is false") == true)
    #expect(
      try problem { $0.set("general.architecture", "llama") }
        == "'general.architecture' is 'llama'; 'clip' is needed of a vision tower (mmproj)")
    #expect(
      try problem { $0.set("clip.vision.image_mean", [2, 0, 0] as [Float]) }?.contains(
        "is outside 0...1") == true)
    #expect(
      try problem { $0.set("clip.vision.image_std", [0, 1, 1] as [Float]) }?.contains(
        "3 numbers in") == true)
    #expect(
      try problem { $0.remove("clip.vision.image_mean") } == "'clip.vision.image_mean' is missing")
    #expect(
      try problem { $0.set("clip.vision.patch_size", UInt32(5)) }
        == "'clip.vision.patch_size' is 5; 1...4 is expected")
    #expect(
      try problem { $0.set("clip.vision.attention.head_count", UInt32(3)) }?.contains("3 heads")
        == true)
    #expect(
      try problem { tiny in tiny.tensors.removeAll { $0.name.hasPrefix("v.blk.0") } }
        == "has no tensors of a vision layer (v.blk.0.)")
    #expect(
      try problem { tiny in tiny.tensors.removeAll { $0.name == "mm.0.weight" } }?.contains(
        "'mm.0.weight'") == true)
    #expect(
      try problem { $0.add("v.patch_embd.bias", [4]) }
        == "is a SigLIP tower, as LLaVA-OneVision has, which is supported from safetensors only")
    #expect(throws: InputError.self) { try read { $0.add("v.odd", [1]) } }
  }

  /// Every byte of the metadata and of the tensor table changed in two ways: an error or a model.
  @Test func survivesDamagedBytes() throws {
    let bytes = TinyGGUF.projector.bytes
    let end =
      bytes.count
      - TinyGGUF.projector.tensors.reduce(0) { $0 + ($1.data.count + 31) / 32 * 32 }
    var refused = 0
    for place in 0..<end {
      for value in [~bytes[place], bytes[place] ^ 1] {
        let path = try folder.write(corrupting(bytes, at: place, with: [value]), to: "v.gguf")
        do throws(InputError) {
          _ = try Checkpoint(at: model, projector: path)
        } catch {
          refused += 1
          #expect(!error.description.contains("\n"), "\(place)")
        }
      }
    }
    #expect(refused > end)
  }
}
