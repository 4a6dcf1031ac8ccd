"""Writes a LLaVA of random weights as GGUF: the text model as llama.cpp's own quantiser would make
it (Q4_K_M, Q8_0) or in bf16, and the vision tower with its projector in bf16.

    gguf_model.py SHAPE TYPE VOCABULARY.gguf TEXT.gguf VISION.gguf

Quantised tensors are random bytes with scales that keep weights near a deviation of 0.02: their
speed does not depend on values, and quantising 13 GB would take an hour.
"""

import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from bench_peers.random_llava import SHAPES, VOCABULARY, Noise  # noqa: E402


def half(value):
    return np.array([value], dtype="<f2").view(np.uint8)


# Per block: bytes that are fixed, by their place; all other bytes are random.
# Q4_K: d, dmin (f16), 12 bytes of 6-bit scales, 128 of 4-bit values; 256 weights.
# Q6_K: 192 bytes of 6-bit values, 16 of 8-bit scales, d (f16); 256 weights.
# Q8_0: d (f16), 32 values.
BLOCKS = {
    Type.Q4_K: (256, 144, {0: half(0.02 / 120), 2: half(0.02 / 16)}),
    Type.Q6_K: (256, 210, {208: half(0.02 / 1400)}),
    Type.Q8_0: (32, 34, {0: half(0.02 / 74)}),
}


class Blocks:
    """Random blocks of one type, read again and again."""

    def __init__(self, kind, seed=0):
        self.weights, self.bytes, fixed = BLOCKS[kind]
        self.block = np.random.default_rng(seed).integers(
            0, 256, (1 << 16, self.bytes), dtype=np.uint8)
        for place, value in fixed.items():
            self.block[:, place:place + len(value)] = value

    def tensor(self, rows, columns):
        count = rows * columns // self.weights
        repeats = -(-count // len(self.block))
        values = np.tile(self.block, (repeats, 1))[:count]
        return values.reshape(rows, columns // self.weights * self.bytes)


class Source:
    """Random tensors of any type."""

    def __init__(self):
        self.noise = Noise(0)
        self.blocks = {}

    def matrix(self, rows, columns, kind):
        if kind == Type.BF16:
            pieces = np.concatenate(list(self.noise.pieces(rows * columns)))
            return pieces.view(np.uint8).reshape(rows, 2 * columns)
        if kind not in self.blocks:
            self.blocks[kind] = Blocks(kind)
        return self.blocks[kind].tensor(rows, columns)


def more_bits(layer, layers):
    """Where Q4_K_M spends six bits (llama-quantize's rule)."""
    return (layer < layers // 8 or layer >= 7 * layers // 8
            or (layer - layers // 8) % 3 == 2)


def text_tensors(shape, name):
    """(name, rows, columns, type) of every matrix and (name, width) of every vector."""
    hidden, inner = shape["hidden_size"], shape["intermediate_size"]
    layers = shape["num_hidden_layers"]
    key = hidden // shape["num_attention_heads"] * shape["num_key_value_heads"]
    plain = {"Q4_K_M": Type.Q4_K, "Q8_0": Type.Q8_0, "BF16": Type.BF16}[name]

    def strong(layer):
        return Type.Q6_K if name == "Q4_K_M" and more_bits(layer, layers) else plain

    yield "token_embd.weight", VOCABULARY, hidden, plain
    yield "output_norm.weight", hidden
    yield "output.weight", VOCABULARY, hidden, Type.Q6_K if name == "Q4_K_M" else plain
    for layer in range(layers):
        base = f"blk.{layer}."
        yield base + "attn_norm.weight", hidden
        yield base + "attn_q.weight", hidden, hidden, plain
        yield base + "attn_k.weight", key, hidden, plain
        yield base + "attn_v.weight", key, hidden, strong(layer)
        yield base + "attn_output.weight", hidden, hidden, plain
        yield base + "ffn_norm.weight", hidden
        yield base + "ffn_gate.weight", inner, hidden, plain
        yield base + "ffn_up.weight", inner, hidden, plain
        yield base + "ffn_down.weight", hidden, inner, strong(layer)


def vision_tensors(shape):
    vision, hidden = shape["vision"], shape["hidden_size"]
    width, inner = vision["hidden_size"], vision["intermediate_size"]
    for name in ("v.pre_ln", "v.post_ln"):
        yield name + ".weight", width
        yield name + ".bias", width
    for layer in range(vision["num_hidden_layers"]):
        base = f"v.blk.{layer}."
        for name in ("ln1", "ln2"):
            yield f"{base}{name}.weight", width
            yield f"{base}{name}.bias", width
        for name, rows, columns in [
                ("attn_q", width, width), ("attn_k", width, width), ("attn_v", width, width),
                ("attn_out", width, width), ("ffn_up", inner, width), ("ffn_down", width, inner)]:
            yield f"{base}{name}.weight", rows, columns, Type.BF16
            yield f"{base}{name}.bias", rows
    yield "mm.0.weight", hidden, width, Type.BF16
    yield "mm.0.bias", hidden
    yield "mm.2.weight", hidden, hidden, Type.BF16
    yield "mm.2.bias", hidden


def write(writer, entries, plain, source):
    """Writes header, keys and tensors one by one.

    `plain` holds (name, f32 or f16 array) of tensors that are neither matrix nor vector."""
    entries = list(entries)
    for name, array in plain:
        writer.add_tensor_info(name, array.shape, array.dtype, array.nbytes)
    for name, rows, *rest in entries:
        if rest:
            columns, kind = rest
            weights, size = gguf.GGML_QUANT_SIZES[kind]
            shape = (rows, columns // weights * size)
            writer.add_tensor_info(name, shape, np.dtype(np.uint8), shape[0] * shape[1], kind)
        else:
            writer.add_tensor_info(name, (rows,), np.dtype(np.float32), 4 * rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, array in plain:
        writer.write_tensor_data(array)
    for name, rows, *rest in entries:
        if rest:
            writer.write_tensor_data(source.matrix(rows, *rest))
        else:
            value = 1 if name.endswith("weight") else 0
            writer.write_tensor_data(np.full(rows, value, dtype=np.float32))
    writer.close()


def copy_vocabulary(path, writer):
    """The tokenizer's keys of another GGUF."""
    for name, field in gguf.GGUFReader(path).fields.items():
        if name.startswith("tokenizer."):
            kind = field.types[0]
            sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=sub)


def write_text(path, shape, kind, vocabulary, source):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random")
    writer.add_context_length(4096)
    writer.add_embedding_length(shape["hidden_size"])
    writer.add_block_count(shape["num_hidden_layers"])
    writer.add_feed_forward_length(shape["intermediate_size"])
    writer.add_head_count(shape["num_attention_heads"])
    writer.add_head_count_kv(shape["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape["hidden_size"] // shape["num_attention_heads"])
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind}"])
    copy_vocabulary(vocabulary, writer)
    write(writer, text_tensors(shape, kind), [], source)


def write_vision(path, shape, source):
    vision = shape["vision"]
    width, patch = vision["hidden_size"], vision["patch_size"]
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", False)
    for key, value in [
            ("image_size", vision["image_size"]), ("patch_size", patch),
            ("embedding_length", width), ("feed_forward_length", vision["intermediate_size"]),
            ("block_count", vision["num_hidden_layers"]), ("projection_dim", shape["hidden_size"]),
            ("attention.head_count", vision["num_attention_heads"])]:
        writer.add_uint32("clip.vision." + key, value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.48145466, 0.4578275, 0.40821073])
    writer.add_array("clip.vision.image_std", [0.26862954, 0.26130258, 0.27577711])
    rng = np.random.default_rng(1)
    rows = (vision["image_size"] // patch) ** 2 + 1

    def values(*dims):
        return rng.standard_normal(dims, dtype=np.float32) * np.float32(0.02)

    plain = [
        ("v.class_embd", values(width)),
        ("v.patch_embd.weight", values(width, 3, patch, patch).astype(np.float16)),
        ("v.position_embd.weight", values(rows, width)),
    ]
    write(writer, vision_tensors(shape), plain, source)


def main():
    name, kind, vocabulary, text, vision = sys.argv[1:]
    shape, source = SHAPES[name], Source()
    write_text(text, shape, kind, vocabulary, source)
    write_vision(vision, shape, source)


if __name__ == "__main__":
    main()
