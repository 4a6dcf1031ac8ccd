"""Rewrites the config.json of transformers 5 into the forms that older checkpoints have.

- `v5`: as written: `dtype`, RoPE inside `rope_parameters`, every value listed;
- `v4`: `torch_dtype`, `rope_theta` and `rope_scaling` in the text configuration (`type` instead of `rope_type` in the
  oldest ones), as transformers 4.36-4.57 wrote;
- `sparse`: `v4`, and only what differs from the defaults of LlamaConfig, CLIPVisionConfig and LlavaConfig, as on the hub.
"""

import json

# The defaults of the configuration classes, as far as the tiny models meet them.
TEXT_DEFAULTS = {
    "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
    "initializer_range": 0.02, "mlp_bias": False, "pretraining_tp": 1, "rms_norm_eps": 1e-6, "rope_scaling": None,
    "rope_theta": 10000.0, "tie_word_embeddings": False, "use_cache": True,
}
VISION_DEFAULTS = {
    "attention_dropout": 0.0, "hidden_act": "quick_gelu", "initializer_factor": 1.0, "initializer_range": 0.02,
    "layer_norm_eps": 1e-5, "num_channels": 3,
}
LLAVA_DEFAULTS = {
    "multimodal_projector_bias": True, "projector_hidden_act": "gelu", "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default", "tie_word_embeddings": False,
}


def rewrite(path, style):
    if style == "v5":
        return
    config = json.loads(path.read_text())
    text = config["text_config"]
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.46.0" if style == "v4" else "4.36.0"
    rope = text.pop("rope_parameters")
    text["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    key = "type" if kind == "linear" else "rope_type"
    text["rope_scaling"] = None if kind == "default" else {key: kind, **rope}
    if style == "sparse":
        if text["num_key_value_heads"] == text["num_attention_heads"]:
            del text["num_key_value_heads"]
        if text["head_dim"] * text["num_attention_heads"] == text["hidden_size"]:
            del text["head_dim"]
        for part, defaults in ((text, TEXT_DEFAULTS), (config["vision_config"], VISION_DEFAULTS), (config, LLAVA_DEFAULTS)):
            for name in [name for name, value in defaults.items() if part.get(name, ...) == value]:
                del part[name]
        del config["image_seq_length"]
        config["ignore_index"] = -100
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
