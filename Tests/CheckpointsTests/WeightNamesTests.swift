import Architecture
import Checkpoints
import Testing

@Suite struct WeightNamesTests {
  private static let prefixes: [(decoder: String, head: String, projector: String, tower: String)] =
    [
      (
        "language_model.model.", "language_model.lm_head.", "multi_modal_projector.linear_",
        "vision_tower.vision_model."
      ),
      (
        "model.language_model.", "lm_head.", "model.multi_modal_projector.linear_",
        "model.vision_tower.vision_model."
      ),
      (
        "language_model.model.", "language_model.lm_head.", "multi_modal_projector.linear_",
        "vision_tower."
      ),
      (
        "model.language_model.", "lm_head.", "model.multi_modal_projector.linear_",
        "model.vision_tower."
      ),
      ("model.", "lm_head.", "model.mm_projector.", "vision_model."),
      (
        "model.", "lm_head.", "model.mm_projector.", "model.vision_tower.vision_tower.vision_model."
      ),
      (
        "model.language_model.model.", "language_model.lm_head.",
        "model.multi_modal_projector.linear_", "model.vision_tower.vision_model."
      ),
    ]

  @Test(arguments: ["image_newline", "model.image_newline"])
  func knowsTheNewline(_ name: String) {
    #expect(WeightNames.meaning(of: name) == .tensor(TensorKey(.imageNewline)))
  }

  @Test func knowsEverySpelling() {
    for (decoder, head, projector, tower) in Self.prefixes {
      let isOriginal = projector.hasSuffix("mm_projector.")
      let expected: [(String, TensorKey)] = [
        (decoder + "embed_tokens.weight", TensorKey(.embedding)),
        (decoder + "norm.weight", TensorKey(.finalNorm)),
        (decoder + "layers.0.input_layernorm.weight", TensorKey(.attentionNorm, layer: 0)),
        (decoder + "layers.31.self_attn.q_proj.weight", TensorKey(.query, layer: 31)),
        (decoder + "layers.7.self_attn.k_proj.bias", TensorKey(.keyBias, layer: 7)),
        (decoder + "layers.10.mlp.down_proj.weight", TensorKey(.down, layer: 10)),
        (head + "weight", TensorKey(.head)),
        (projector + (isOriginal ? "0" : "1") + ".weight", TensorKey(.projectorIn)),
        (projector + "2.bias", TensorKey(.projectorOutBias)),
        (tower + "embeddings.class_embedding", TensorKey(.classEmbedding)),
        (tower + "embeddings.patch_embedding.weight", TensorKey(.patchEmbedding)),
        (tower + "pre_layrnorm.bias", TensorKey(.preNormBias)),
        (
          tower + "encoder.layers.22.self_attn.out_proj.weight",
          TensorKey(.visionAttentionOutput, layer: 22)
        ),
        (tower + "encoder.layers.0.mlp.fc1.bias", TensorKey(.visionUpBias, layer: 0)),
      ]
      for (name, key) in expected {
        #expect(WeightNames.meaning(of: name) == .tensor(key), "\(name)")
      }
      #expect(WeightNames.meaning(of: tower + "post_layernorm.weight") == .ignored)
      #expect(
        WeightNames.meaning(of: tower + "embeddings.patch_embedding.bias")
          == .tensor(TensorKey(.patchEmbeddingBias)))
      #expect(WeightNames.meaning(of: tower + "head.attention.in_proj_weight") == .ignored)
      #expect(WeightNames.meaning(of: tower + "embeddings.position_ids") == .ignored)
      let buffer = decoder + "layers.3.self_attn.rotary_emb.inv_freq"
      #expect(WeightNames.meaning(of: buffer) == .ignored)
    }
  }

  @Test(arguments: [
    "text_model.encoder.layers.0.mlp.fc1.weight", "logit_scale", "visual_projection.weight",
    "text_projection.weight",
  ])
  func ignoresTheRestOfCLIP(_ name: String) {
    #expect(WeightNames.meaning(of: name) == .ignored)
  }

  @Test(arguments: [
    "", "model.", "vision_tower.image_newline", "model.layers.0.self_attn.q_norm.weight",
    "model.layers.00.mlp.up_proj.weight", "model.layers.-1.mlp.up_proj.weight",
    "model.layers.+1.mlp.up_proj.weight", "model.layers.mlp.up_proj.weight",
    "model.layers.99999999999999999999.mlp.up_proj.weight", "model.layers.1.mlp.up_proj",
    "model.mm_projector.1.weight", "xlm_head.weight", "norm.weight", "model.embed_tokens.weight2",
    "vision_tower.vision_model.encoder.layers.0.mlp.fc3.weight",
  ])
  func doesNotKnow(_ name: String) {
    #expect(WeightNames.meaning(of: name) == .unknown)
  }
}
