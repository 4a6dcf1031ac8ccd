import Architecture

/// The names that GGUF files give to tensors: of the language model, and of the file with vision
/// tower and projector (mmproj).
enum GGUFNames {
  static let language = NameTable(
    parts: [
      NameTable.Part(
        prefixes: [""],
        single: [
          "token_embd.weight": .embedding, "output_norm.weight": .finalNorm,
          "output.weight": .head,
        ],
        layers: "blk.",
        perLayer: [
          "attn_norm.weight": .attentionNorm,
          "attn_q.weight": .query, "attn_q.bias": .queryBias,
          "attn_k.weight": .key, "attn_k.bias": .keyBias,
          "attn_v.weight": .value, "attn_v.bias": .valueBias,
          "attn_output.weight": .attentionOutput, "attn_output.bias": .attentionOutputBias,
          "ffn_norm.weight": .feedForwardNorm,
          "ffn_gate.weight": .gate, "ffn_gate.bias": .gateBias,
          "ffn_up.weight": .up, "ffn_up.bias": .upBias,
          "ffn_down.weight": .down, "ffn_down.bias": .downBias,
        ],
        // Read with the metadata.
        ignored: ["rope_freqs.weight"])
    ], readableTypes: readableTypes)

  static let vision = NameTable(
    parts: [
      NameTable.Part(
        prefixes: [""],
        single: [
          "v.class_embd": .classEmbedding, "v.patch_embd.weight": .patchEmbedding,
          "v.position_embd.weight": .positionEmbedding,
          "v.pre_ln.weight": .preNorm, "v.pre_ln.bias": .preNormBias,
          "mm.0.weight": .projectorIn, "mm.0.bias": .projectorInBias,
          "mm.2.weight": .projectorOut, "mm.2.bias": .projectorOutBias,
          "model.image_newline": .imageNewline, "v.image_newline": .imageNewline,
        ],
        layers: "v.blk.",
        perLayer: [
          "ln1.weight": .visionAttentionNorm, "ln1.bias": .visionAttentionNormBias,
          "attn_q.weight": .visionQuery, "attn_q.bias": .visionQueryBias,
          "attn_k.weight": .visionKey, "attn_k.bias": .visionKeyBias,
          "attn_v.weight": .visionValue, "attn_v.bias": .visionValueBias,
          "attn_out.weight": .visionAttentionOutput,
          "attn_out.bias": .visionAttentionOutputBias,
          "ln2.weight": .visionFeedForwardNorm, "ln2.bias": .visionFeedForwardNormBias,
          "ffn_up.weight": .visionUp, "ffn_up.bias": .visionUpBias,
          "ffn_down.weight": .visionDown, "ffn_down.bias": .visionDownBias,
        ],
        ignored: ["v.post_ln.weight", "v.post_ln.bias"])
    ], readableTypes: readableTypes)

  private static let readableTypes =
    "one of " + GGUFBlocks.readableNames.joined(separator: ", ")
}
