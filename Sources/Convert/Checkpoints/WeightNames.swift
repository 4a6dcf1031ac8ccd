import Architecture

/// The names that PyTorch checkpoints give to tensors, as tables.
///
/// A name is a prefix that depends on who wrote the file, and a rest that does not.  The prefixes
/// of decoder, head, projector and vision tower:
///
/// - A, the hub: `language_model.model.`, `language_model.lm_head.`, `multi_modal_projector.`,
///   `vision_tower.vision_model.`
/// - B, transformers 4.52 in memory: `model.language_model.`, `lm_head.`,
///   `model.multi_modal_projector.`, `model.vision_tower.vision_model.`
/// - C, transformers 5: as A, with `vision_tower.`
/// - D, transformers 5 in memory: as B, with `model.vision_tower.`
/// - E, the original code: `model.`, `lm_head.`, `model.mm_projector.`, and for the tower
///   `vision_model.` in a file of its own or `model.vision_tower.vision_tower.vision_model.`
/// - F, some of transformers 5.5: as A, all but the head behind `model.`
package enum WeightNames {
  /// The meaning of a source's tensor name.
  package static func meaning(of name: String) -> NameTable.Meaning { table.meaning(of: name) }

  static let table = NameTable(
    parts: parts, ignoredSuffixes: ignoredSuffixes, ignoredPrefixes: ignoredPrefixes)

  private static let parts: [NameTable.Part] = [
    NameTable.Part(
      prefixes: [
        "model.language_model.model.", "model.language_model.", "language_model.model.",
        "language_model.", "model.",
      ],
      single: ["embed_tokens.weight": .embedding, "norm.weight": .finalNorm],
      perLayer: [
        "input_layernorm.weight": .attentionNorm,
        "self_attn.q_proj.weight": .query, "self_attn.q_proj.bias": .queryBias,
        "self_attn.k_proj.weight": .key, "self_attn.k_proj.bias": .keyBias,
        "self_attn.v_proj.weight": .value, "self_attn.v_proj.bias": .valueBias,
        "self_attn.o_proj.weight": .attentionOutput, "self_attn.o_proj.bias": .attentionOutputBias,
        "post_attention_layernorm.weight": .feedForwardNorm,
        "mlp.gate_proj.weight": .gate, "mlp.gate_proj.bias": .gateBias,
        "mlp.up_proj.weight": .up, "mlp.up_proj.bias": .upBias,
        "mlp.down_proj.weight": .down, "mlp.down_proj.bias": .downBias,
      ]),
    NameTable.Part(
      prefixes: ["model.language_model.", "language_model.", ""],
      single: ["lm_head.weight": .head]),
    NameTable.Part(
      prefixes: ["model.multi_modal_projector.", "multi_modal_projector."],
      single: [
        "linear_1.weight": .projectorIn, "linear_1.bias": .projectorInBias,
        "linear_2.weight": .projectorOut, "linear_2.bias": .projectorOutBias,
      ]),
    NameTable.Part(
      prefixes: ["model.mm_projector."],
      single: [
        "0.weight": .projectorIn, "0.bias": .projectorInBias,
        "2.weight": .projectorOut, "2.bias": .projectorOutBias,
      ]),
    NameTable.Part(
      prefixes: [
        "model.vision_tower.vision_tower.vision_model.", "model.vision_tower.vision_model.",
        "model.vision_tower.", "vision_tower.vision_model.", "vision_tower.", "vision_model.",
      ],
      single: [
        "embeddings.class_embedding": .classEmbedding,
        "embeddings.patch_embedding.weight": .patchEmbedding,
        "embeddings.patch_embedding.bias": .patchEmbeddingBias,
        "embeddings.position_embedding.weight": .positionEmbedding,
        // Sic: the typing error is part of CLIP's names.
        "pre_layrnorm.weight": .preNorm, "pre_layrnorm.bias": .preNormBias,
      ],
      layers: "encoder.layers.",
      perLayer: [
        "layer_norm1.weight": .visionAttentionNorm, "layer_norm1.bias": .visionAttentionNormBias,
        "self_attn.q_proj.weight": .visionQuery, "self_attn.q_proj.bias": .visionQueryBias,
        "self_attn.k_proj.weight": .visionKey, "self_attn.k_proj.bias": .visionKeyBias,
        "self_attn.v_proj.weight": .visionValue, "self_attn.v_proj.bias": .visionValueBias,
        "self_attn.out_proj.weight": .visionAttentionOutput,
        "self_attn.out_proj.bias": .visionAttentionOutputBias,
        "layer_norm2.weight": .visionFeedForwardNorm,
        "layer_norm2.bias": .visionFeedForwardNormBias,
        "mlp.fc1.weight": .visionUp, "mlp.fc1.bias": .visionUpBias,
        "mlp.fc2.weight": .visionDown, "mlp.fc2.bias": .visionDownBias,
      ],
      ignored: [
        "post_layernorm.weight", "post_layernorm.bias",
        // SigLIP's pooling.
        "head.probe", "head.attention.in_proj_weight", "head.attention.in_proj_bias",
        "head.attention.out_proj.weight", "head.attention.out_proj.bias",
        "head.layernorm.weight", "head.layernorm.bias", "head.mlp.fc1.weight",
        "head.mlp.fc1.bias", "head.mlp.fc2.weight", "head.mlp.fc2.bias",
      ]),
    NameTable.Part(prefixes: ["model.", ""], single: ["image_newline": .imageNewline]),
  ]

  /// Buffers that some versions save.
  private static let ignoredSuffixes = [".rotary_emb.inv_freq", ".position_ids"]
  /// The half of a CLIP model that reads text, and what joins the halves.
  private static let ignoredPrefixes = [
    "text_model.", "logit_scale", "visual_projection.weight", "text_projection.weight",
  ]
}
