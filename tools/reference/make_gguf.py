"""Writes GGUF files with the `gguf` package: python make_gguf.py

Into Tests/Fixtures/gguf/:

- `types/<TYPE>.gguf`: one tensor of each number type that we read, and `types/expected.safetensors`: its values by the
  package's own dequantisation. Quantised rows come from the package where it can quantise, and from random bytes with
  finite scales for all types.
- `metadata.gguf`: one key of each metadata type.
- `<model>/`: models of ../models as llama.cpp's converter writes them: q and k rows permuted per head (llama), vectors in
  F32, other tensors in their own type, rope scaling as divisors, vocabularies padded to the embedding.
  - `gqa`: BF16, LLaMA tokenizer, `mmproj-gqa.gguf` beside it;
  - `one-layer`: F32, split into files, `mmproj-old.gguf` in the style of 2023: feed-forward names swapped;
  - `next-vicuna`: BF16, with the mmproj of a LLaVA-1.6: grids with the width first, a newline row;
  - `mqa-vision`: the mmproj of `mqa` alone, F16, two feature layers;
  - `rope-llama3`: BF16, text only, Llama 3's tokenizer; `attention-bias`: F16, text only, biases;
    `byte-level`: F32, text only, Qwen 2's tokenizer, tied head.

The models here are tiny, so their tokenizers are too; the oracle for their ids are the `*.cases.json` of ../tokenizers.
"""

import argparse
import json
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import TokenType
from safetensors.numpy import save_file

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures"
OUT = FIXTURES / "gguf"
MODELS = FIXTURES / "models"

# Bytes of a block that are an f16 scale, and the exponent of MXFP4, which must not be random.
HALVES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q2_K: [80, 82],
    Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.IQ4_NL: [0], Type.IQ4_XS: [0], Type.MXFP4: [],
}
PLAIN = [Type.F32, Type.F16, Type.BF16, Type.F64]


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# Number types


def plain_rows(kind, random):
    values = random.standard_normal((3, 7)).astype(np.float32)
    if kind == Type.F64:
        data = values.astype(np.float64) * (1 + 1e-9)
        return data, data.astype(np.float32)
    if kind == Type.BF16:
        halves = (values.view(np.uint32) >> 16).astype(np.uint16)
        return halves.view(np.uint8), (halves.astype(np.uint32) << 16).view(np.float32)
    data = values.astype(np.float16) if kind == Type.F16 else values
    return data, data.astype(np.float32)


def block_rows(kind, random):
    """Three rows of two blocks; the first is quantised by the package where it can."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    rows = random.integers(0, 256, (3, 2, size), dtype=np.uint8)
    for place in HALVES[kind]:
        scales = random.standard_normal((3, 2)).astype(np.float16)
        scales[2, 0] = 6e-8  # the smallest binary16
        rows[:, :, place:place + 2] = scales.view(np.uint8).reshape(3, 2, 2)
    if kind == Type.MXFP4:
        rows[:, :, 0] = [[0, 1], [2, 127], [130, 250]]
    rows = rows.reshape(3, 2 * size)
    try:
        rows[0] = gguf.quants.quantize(random.standard_normal((1, 2 * elements)).astype(np.float32), kind)
    except NotImplementedError:
        pass
    return rows, gguf.quants.dequantize(rows, kind)


def write_types():
    folder = OUT / "types"
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for seed, kind in enumerate(PLAIN + list(HALVES)):
        random = np.random.default_rng(seed)
        rows, values = (plain_rows if kind in PLAIN else block_rows)(kind, random)
        assert np.isfinite(values).all(), kind
        writer = gguf.GGUFWriter(folder / f"{kind.name}.gguf", "types")
        writer.add_tensor("t", rows, raw_dtype=kind)
        finish(writer)
        expected[kind.name] = np.ascontiguousarray(values, dtype=np.float32)
    save_file(expected, folder / "expected.safetensors")


def write_metadata():
    writer = gguf.GGUFWriter(OUT / "metadata.gguf", "types")
    for name, value in {
        "uint8": 200, "int8": -100, "uint16": 60000, "int16": -30000, "uint32": 4000000000, "int32": -2000000000,
        "float32": 1.5, "bool": True, "string": "Grüße\n", "uint64": 2**63, "int64": -2**62, "float64": 1e300,
    }.items():
        getattr(writer, f"add_{name}")(f"test.{name}", value)
    writer.add_array("test.strings", ["a", "", "ü"])
    writer.add_array("test.integers", [3, -2, 1])
    writer.add_array("test.floats", [0.5, -1.25])
    writer.add_array("test.bools", [True, False])
    finish(writer)


# Models


def read_tensors(path):
    """name -> (type name, array); BF16 as u16."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    types = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64}
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = (entry["dtype"], np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"]))
    return tensors


def widened(kind, array):
    return (array.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else array.astype(np.float32)


def add(writer, name, kind, array):
    if array.ndim == 1:
        writer.add_tensor(name, widened(kind, array))
    elif kind == "BF16":
        writer.add_tensor(name, np.ascontiguousarray(array).view(np.uint8), raw_dtype=Type.BF16)
    else:
        writer.add_tensor(name, np.ascontiguousarray(array))


def permuted(array, heads):
    """Rows of a head as pairs (i, i + d/2), as llama.cpp rotates them."""
    return array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
# How byte-level vocabularies of a class cut text.
PRE = {"PreTrainedTokenizerFast": "llama-bpe", "Qwen2Tokenizer": "qwen2", "GPT2Tokenizer": "gpt-2", "SmolLM": "smollm"}
VISION_LAYER = {
    "layer_norm1": "ln1", "layer_norm2": "ln2", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.out_proj": "attn_out", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
}
VISION = {
    "image_newline": "model.image_newline", "embeddings.class_embedding": "v.class_embd", "embeddings.patch_embedding.weight": "v.patch_embd.weight",
    "embeddings.position_embedding.weight": "v.position_embd.weight", "pre_layrnorm.weight": "v.pre_ln.weight",
    "pre_layrnorm.bias": "v.pre_ln.bias",
}


def short(name):
    """The name without what depends on who wrote the file."""
    for prefix in ("model.", "language_model.", "model.", "vision_tower.", "vision_model."):
        if name.startswith(prefix) and not name.startswith("model.layers."):
            name = name[len(prefix):]
    return name.removeprefix("model.")


def language_name(name):
    if name.startswith("layers."):
        _, layer, rest = name.split(".", 2)
        stem, tail = rest.rsplit(".", 1)
        return f"blk.{layer}.{LAYER[stem]}.{tail}"
    return {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}.get(name)


def vision_name(name, stored, swapped):
    if name.startswith("encoder.layers."):
        _, _, layer, rest = name.split(".", 3)
        stem, tail = rest.rsplit(".", 1)
        ours = VISION_LAYER[stem]
        if swapped:
            ours = {"ffn_up": "ffn_down", "ffn_down": "ffn_up"}.get(ours, ours)
        return f"v.blk.{layer}.{ours}.{tail}" if int(layer) < stored else None
    if name.startswith("multi_modal_projector.linear_"):
        number, tail = name.removeprefix("multi_modal_projector.linear_").split(".")
        return f"mm.{2 * int(number) - 2}.{tail}"
    return VISION.get(name)


def add_tokenizer(writer, document, config, rows=None):
    """A vocabulary padded to `rows` pieces, from what tokenizer.json and tokenizer_config.json hold."""
    vocabulary = dict(document["model"]["vocab"])
    added = {token["content"]: token for token in document["added_tokens"]}
    vocabulary.update({text: token["id"] for text, token in added.items()})
    merges = [m if isinstance(m, str) else " ".join(m) for m in document["model"]["merges"]]
    texts = {index: text for text, index in vocabulary.items()}
    is_llama = config["tokenizer_class"] == "LlamaTokenizer"
    scores = {}
    for rank, merge in enumerate(merges):
        scores.setdefault(merge.replace(" ", ""), -float(rank))
    tokens, kinds, numbers = [], [], []
    for index in range(rows or len(texts)):
        text = texts.get(index)
        if text is None:
            text, kind = f"[PAD{index}]", TokenType.UNUSED
        elif text == document["model"].get("unk_token"):
            kind = TokenType.UNKNOWN
        elif text in added:
            kind = TokenType.CONTROL
        elif is_llama and text.startswith("<0x") and len(text) == 6:
            kind = TokenType.BYTE
        else:
            kind = TokenType.NORMAL
        tokens.append(text)
        kinds.append(int(kind))
        numbers.append(scores.get(text, -1e6 if kind == TokenType.NORMAL else 0.0))
    writer.add_tokenizer_model("llama" if is_llama else "gpt2")
    if not is_llama:
        writer.add_tokenizer_pre(PRE[config["tokenizer_class"]])
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    if is_llama:
        writer.add_token_scores(numbers)
    else:
        writer.add_token_merges(merges)
    for role, put in (("bos_token", writer.add_bos_token_id), ("eos_token", writer.add_eos_token_id),
                      ("unk_token", writer.add_unk_token_id), ("pad_token", writer.add_pad_token_id)):
        if config.get(role) is not None:
            put(vocabulary[config[role]])
    writer.add_add_bos_token(bool(config.get("bos_token")))


def write_language(name, files, **options):
    folder = MODELS / name
    text = json.loads((folder / "config.json").read_text())["text_config"]
    tensors = {short(key): value for key, value in read_tensors(folder / "model.safetensors").items()}
    heads = text["num_attention_heads"]
    kv_heads = text.get("num_key_value_heads", heads)
    head = text.get("head_dim") or text["hidden_size"] // heads
    (OUT / files).parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(OUT / files, "llama", **options)
    writer.add_name(name)
    writer.add_block_count(text["num_hidden_layers"])
    writer.add_context_length(text.get("max_position_embeddings", 2048))
    writer.add_embedding_length(text["hidden_size"])
    writer.add_feed_forward_length(text["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(text.get("rms_norm_eps", 1e-6))
    rope = text.get("rope_parameters") or {}
    theta = rope.get("rope_theta") or text.get("rope_theta") or 10000.0
    writer.add_rope_freq_base(theta)
    document, settings = (json.loads((folder / f"{name}.json").read_text()) for name in ("tokenizer", "tokenizer_config"))
    add_tokenizer(writer, document, settings, tensors["embed_tokens.weight"][1].shape[0])
    jinja = folder / "chat_template.jinja"
    writer.add_chat_template(
        jinja.read_text() if jinja.exists() else json.loads((folder / "chat_template.json").read_text())["chat_template"])
    if rope.get("rope_type") == "llama3":
        frequencies = 1.0 / (theta ** (np.arange(0, head, 2, dtype=np.float64) / head))
        low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
        high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
        divisors = []
        for length in 2 * np.pi / frequencies:
            smooth = (rope["original_max_position_embeddings"] / length - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"])
            divisors.append(1 if length < high else rope["factor"] if length > low else 1 / ((1 - smooth) / rope["factor"] + smooth))
        writer.add_tensor("rope_freqs.weight", np.array(divisors, dtype=np.float32))
    for key, (kind, array) in tensors.items():
        target = language_name(key)
        if target is None:
            continue
        if ".attn_q." in target:
            array = permuted(array, heads)
        if ".attn_k." in target:
            array = permuted(array, kv_heads)
        add(writer, target, kind, array)
    finish(writer)


def write_vision(name, file, is_old=False):
    folder = MODELS / name
    config = json.loads((folder / "config.json").read_text())
    vision, layers = config["vision_config"], config.get("vision_feature_layer", -2)
    count = vision["num_hidden_layers"]
    states = [layer + count + 1 if layer < 0 else layer for layer in (layers if isinstance(layers, list) else [layers])]
    stored = max(states)
    pixels = json.loads((folder / "preprocessor_config.json").read_text())
    (OUT / file).parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(OUT / file, "clip")
    if is_old:
        writer.add_bool("clip.has_text_encoder", False)
        writer.add_bool("clip.has_llava_projector", True)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", vision.get("hidden_act", "quick_gelu") == "gelu")
    writer.add_uint32("clip.vision.image_size", vision["image_size"])
    writer.add_uint32("clip.vision.patch_size", vision["patch_size"])
    writer.add_uint32("clip.vision.embedding_length", vision["hidden_size"])
    writer.add_uint32("clip.vision.feed_forward_length", vision["intermediate_size"])
    writer.add_uint32("clip.vision.projection_dim", vision.get("projection_dim", vision["hidden_size"]))
    writer.add_uint32("clip.vision.attention.head_count", vision["num_attention_heads"])
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", vision.get("layer_norm_eps", 1e-5))
    # The layers behind the last feature are not stored; old files did not always count that way.
    writer.add_uint32("clip.vision.block_count", count if is_old else stored)
    writer.add_array("clip.vision.image_mean", pixels["image_mean"])
    writer.add_array("clip.vision.image_std", pixels["image_std"])
    if "image_grid_pinpoints" in config:
        writer.add_string("clip.vision.mm_patch_merge_type", "spatial_unpad")
        writer.add_string("clip.vision.image_aspect_ratio", "anyres")
        sizes = [number for height, width in config["image_grid_pinpoints"] for number in (width, height)]
        writer.add_array("clip.vision.image_grid_pinpoints", sizes)
    if len(states) > 1:
        writer.add_array("clip.vision.feature_layer", states)
    for key, (kind, array) in read_tensors(folder / "model.safetensors").items():
        target = vision_name(short(key), stored, is_old)
        if target is not None:
            add(writer, target, kind, array)
    finish(writer)


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    write_types()
    write_metadata()
    write_language("gqa", "gqa/gqa.gguf")
    write_vision("gqa", "gqa/mmproj-gqa.gguf")
    write_language("next-vicuna", "next-vicuna/model.gguf")
    write_vision("next-vicuna", "next-vicuna/mmproj.gguf")
    write_language("one-layer", "one-layer/model.gguf", split_max_tensors=5)
    write_vision("one-layer", "one-layer/mmproj-old.gguf", is_old=True)
    write_vision("mqa", "mqa-vision/mmproj-mqa.gguf")
    for name in ("rope-llama3", "attention-bias", "byte-level"):
        write_language(name, f"{name}/model.gguf")


if __name__ == "__main__":
    main()
