"""A LLaVA of true shape with random weights: its shapes, its tensors, and the folder of files."""

import json
import pathlib
import shutil
import struct
import sys

import numpy as np

VISION_336 = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
                  num_attention_heads=16, image_size=336, patch_size=14)
TINY = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2,
            vision=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                        num_attention_heads=2, image_size=28, patch_size=14))
# LLaVA-NeXT's grids: rows and columns of tiles.
NEXT_GRIDS = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]
SHAPES = {
    # TinyLLaVA-1.1B's decoder: grouped-query attention, 32 heads over 4.
    "1.1b": dict(hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
                 num_attention_heads=32, num_key_value_heads=4, vision=VISION_336),
    "7b": dict(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
               num_attention_heads=32, num_key_value_heads=32, vision=VISION_336),
    "13b": dict(hidden_size=5120, intermediate_size=13824, num_hidden_layers=40,
                num_attention_heads=40, num_key_value_heads=40, vision=VISION_336),
    # Of its largest images 2,928 rows are visual.
    "next-7b": dict(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
                    num_attention_heads=32, num_key_value_heads=32, vision=VISION_336,
                    grids=NEXT_GRIDS),
    # Small enough to try the tool itself.
    "tiny": dict(TINY),
    "next-tiny": dict(TINY, grids=NEXT_GRIDS),
}
VOCABULARY = 32000
DEMO = pathlib.Path(__file__).resolve().parents[1] / "demo-llava" / "model"


def tensors(shape):
    """(name, dims) of every tensor, in the names of llava-hf checkpoints."""
    h, m = shape["hidden_size"], shape["intermediate_size"]
    kv = h // shape["num_attention_heads"] * shape["num_key_value_heads"]
    vision = shape["vision"]
    w, f, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    rows = (vision["image_size"] // patch) ** 2 + 1
    tower = "vision_tower.vision_model."
    yield tower + "embeddings.class_embedding", [w]
    yield tower + "embeddings.patch_embedding.weight", [w, 3, patch, patch]
    yield tower + "embeddings.position_embedding.weight", [rows, w]
    for norm in ("pre_layrnorm", "post_layernorm"):
        yield f"{tower}{norm}.weight", [w]
        yield f"{tower}{norm}.bias", [w]
    for layer in range(vision["num_hidden_layers"]):
        base = f"{tower}encoder.layers.{layer}."
        for norm in ("layer_norm1", "layer_norm2"):
            yield f"{base}{norm}.weight", [w]
            yield f"{base}{norm}.bias", [w]
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{base}self_attn.{name}.weight", [w, w]
            yield f"{base}self_attn.{name}.bias", [w]
        yield f"{base}mlp.fc1.weight", [f, w]
        yield f"{base}mlp.fc1.bias", [f]
        yield f"{base}mlp.fc2.weight", [w, f]
        yield f"{base}mlp.fc2.bias", [w]
    yield "multi_modal_projector.linear_1.weight", [h, w]
    yield "multi_modal_projector.linear_1.bias", [h]
    yield "multi_modal_projector.linear_2.weight", [h, h]
    yield "multi_modal_projector.linear_2.bias", [h]
    if "grids" in shape:
        yield "image_newline", [h]
    yield "language_model.model.embed_tokens.weight", [VOCABULARY, h]
    for layer in range(shape["num_hidden_layers"]):
        base = f"language_model.model.layers.{layer}."
        yield base + "input_layernorm.weight", [h]
        yield base + "post_attention_layernorm.weight", [h]
        yield base + "self_attn.q_proj.weight", [h, h]
        yield base + "self_attn.k_proj.weight", [kv, h]
        yield base + "self_attn.v_proj.weight", [kv, h]
        yield base + "self_attn.o_proj.weight", [h, h]
        yield base + "mlp.gate_proj.weight", [m, h]
        yield base + "mlp.up_proj.weight", [m, h]
        yield base + "mlp.down_proj.weight", [h, m]
    yield "language_model.model.norm.weight", [h]
    yield "language_model.lm_head.weight", [VOCABULARY, h]


def bfloat16(values):
    """f32 to the bits of bfloat16, rounded to nearest even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


class Noise:
    """Normal values of deviation 0.02 in bf16, from one block that is read at changing places:
    a 7B model is then written as fast as the disk takes it."""

    BLOCK = 1 << 24
    # Odd and not near a fraction of the block, so that neighbouring rows differ.
    STRIDE = 10_368_889

    def __init__(self, seed):
        values = np.random.default_rng(seed).standard_normal(self.BLOCK, dtype=np.float32)
        self.block = bfloat16(values * np.float32(0.02))
        self.place = 0

    def pieces(self, count):
        """Arrays of `count` values in all."""
        while count > 0:
            self.place = (self.place + self.STRIDE) % self.BLOCK
            piece = self.block[self.place:self.place + count]
            count -= len(piece)
            yield piece


def values(name, dims, noise):
    """The bytes of a tensor, in pieces; norms are near one, so that activations keep their size."""
    if "norm" in name and name.endswith("weight"):
        yield np.full(dims, 0x3F80, dtype="<u2")
    else:
        yield from noise.pieces(int(np.prod(dims)))


def write_safetensors(path, entries, noise):
    header, offset = {}, 0
    for name, dims in entries:
        size = 2 * int(np.prod(dims))
        header[name] = dict(dtype="BF16", shape=dims, data_offsets=[offset, offset + size])
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, dims in entries:
            for piece in values(name, dims, noise):
                out.write(piece)


SHARD_BYTES = 4 << 30


def shards(entries):
    """Lists of entries of at most SHARD_BYTES together."""
    groups, size = [[]], 0
    for name, dims in entries:
        own = 2 * int(np.prod(dims))
        if groups[-1] and size + own > SHARD_BYTES:
            groups.append([])
            size = 0
        groups[-1].append((name, dims))
        size += own
    return groups


def write_weights(folder, shape, seed):
    """`model.safetensors`, or shards and their index as published checkpoints have them."""
    noise = Noise(seed)
    groups = shards(tensors(shape))
    if len(groups) == 1:
        write_safetensors(folder / "model.safetensors", groups[0], noise)
        return
    places = {}
    for number, group in enumerate(groups, 1):
        name = f"model-{number:05}-of-{len(groups):05}.safetensors"
        write_safetensors(folder / name, group, noise)
        places.update((tensor, name) for tensor, _ in group)
    size = sum(2 * int(np.prod(dims)) for _, dims in tensors(shape))
    index = dict(metadata=dict(total_size=size), weight_map=places)
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def check_space(path, shape, copies):
    """Refuses early what the disk cannot hold."""
    need = copies * sum(2 * int(np.prod(dims)) for _, dims in tensors(shape))
    free = shutil.disk_usage(path).free
    if free < need:
        sys.exit(f"make-random-llava: {path} has {free / 1e9:.1f} GB free; {need / 1e9:.1f} GB "
                 "are needed")


def write_folder(folder, shape, seed):
    folder.mkdir(parents=True, exist_ok=True)
    for file in DEMO.iterdir():
        if file.name not in ("model.safetensors", "config.json", "preprocessor_config.json"):
            shutil.copy(file, folder / file.name)
    vision = shape["vision"]
    text = {key: value for key, value in shape.items() if key not in ("vision", "grids")}
    config = json.loads((DEMO / "config.json").read_text())
    config["text_config"].update(
        text, head_dim=text["hidden_size"] // text["num_attention_heads"],
        vocab_size=VOCABULARY, max_position_embeddings=4096)
    config["vision_config"].update(vision)
    config["dtype"] = "bfloat16"
    config["image_seq_length"] = (vision["image_size"] // vision["patch_size"]) ** 2
    images = json.loads((DEMO / "preprocessor_config.json").read_text())
    images["crop_size"] = dict(height=vision["image_size"], width=vision["image_size"])
    images["size"] = dict(shortest_edge=vision["image_size"])
    if "grids" in shape:
        sizes = [[vision["image_size"] * tiles for tiles in grid] for grid in shape["grids"]]
        config.update(model_type="llava_next", image_grid_pinpoints=sizes,
                      architectures=["LlavaNextForConditionalGeneration"])
        images.update(image_processor_type="LlavaNextImageProcessor", image_grid_pinpoints=sizes)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "preprocessor_config.json").write_text(json.dumps(images, indent=2))
    write_weights(folder, shape, seed)
