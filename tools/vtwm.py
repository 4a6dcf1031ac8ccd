#!/usr/bin/env python3
"""Reads .vtwm files; written from formats/vtwm.md alone, so it checks the page and the programs.

Python 3.9 or later, standard library only (numpy speeds up `dump` where it is installed).

    vtwm.py info FILE            what is in the file
    vtwm.py verify FILE          every check of the page, every checksum, every weight finite
    vtwm.py calibration FILE [STATISTICS...]
                                 why this K, whether the recorded curves lead to it, and whether these
                                 files (formats/statistics.md) lead to the curves
    vtwm.py dump FILE TENSOR     the tensor's values, one row a line
    vtwm.py diff FILE FILE       what differs; exit status 1 if anything does
    vtwm.py ids FILE             content id, and the SHA-256 of every section
    vtwm.py annotate FILE        the bytes of header and tables, field by field
"""

import argparse
import hashlib
import json
import math
import mmap
import os
import re
import stat
import struct
import sys
import zlib

try:
    import numpy
except ImportError:
    numpy = None

MAGIC = bytes([0x89, 0x56, 0x54, 0x57, 0x0D, 0x0A, 0x1A, 0x0A])
FROZEN_ROWS = 1 << 0  # `need` bit 0
NO_ID = 0xFFFFFFFF
JSON_SECTIONS = {"MODL", "IPRE", "cHAt", "cALB", "pROV"}
TABLE_SECTIONS = {"TDIR", "LAYR", "PLAN", "TOKN"}
REQUIRED = ["MODL", "TDIR", "LAYR", "PLAN", "WGTS", "TOKN"]
CLASSES = [("system", 1), ("user", 1), ("generated", 4), ("visual", 2)]
TEXT, ALL = 7, 15

ENCODINGS = {1: "f32", 2: "f16", 3: "bf16", 16: "q8", 17: "q4", 18: "q4a", 19: "q5a", 20: "q6"}
# tile rows, tile columns, bytes per tile
TILES = {"f32": (1, 1, 4), "f16": (32, 1, 64), "bf16": (32, 2, 128), "q8": (32, 32, 1088),
         "q4": (32, 32, 576), "q4a": (32, 32, 640), "q5a": (32, 32, 768), "q6": (32, 32, 896)}
# bits of an integer, bytes of scales and minima, whether there are minima, columns per scale
INTEGERS = {"q8": (8, 64, False, 32), "q4": (4, 64, False, 32), "q4a": (4, 128, True, 32),
            "q5a": (5, 128, True, 32), "q6": (6, 128, False, 16)}
MATRIX, VECTOR, EMBEDDING = 1, 2, 3

SOURCE_TYPES = dict(enumerate(
    "F32 F16 Q4_0 Q4_1 - - Q5_0 Q5_1 Q8_0 Q8_1 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K IQ2_XXS IQ2_XS"
    " IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ2_S IQ4_XS I8 I16 I32 I64 F64 IQ1_M BF16 - - - TQ1_0 TQ2_0"
    " - - - MXFP4 NVFP4 Q1_0 Q2_0".split(), 1))


class Bad(Exception):
    """What is wrong with the file, in one line."""


def need(condition, problem):
    if not condition:
        raise Bad(problem)


def align(value, alignment):
    return -(-value // alignment) * alignment


# ---- the model and its tensors ----

def strict_json(raw, where):
    """RFC 8259 without duplicate keys, NaN or lone surrogates."""
    def unique(pairs):
        result = dict(pairs)
        need(len(result) == len(pairs), f"{where}: two members of the same key")
        return result

    def constant(word):
        raise Bad(f"{where}: {word} is not JSON")

    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise Bad(f"{where}: not valid JSON: {error}") from None
    need(isinstance(value, dict), f"{where}: not an object")
    return value


class Fields:
    """The members of a JSON object, each with its type and range."""

    def __init__(self, value, where):
        self.value, self.where = value, where

    def get(self, key, kinds, what):
        need(key in self.value, f"{self.where}: '{key}' is missing")
        value = self.value[key]
        need(isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)),
             f"{self.where}: '{key}' is not {what}")
        return value

    def has(self, key):
        return self.value.get(key) is not None

    def integer(self, key, low, high):
        value = self.get(key, (int,), "an integer")
        need(low <= value <= high, f"{self.where}: '{key}' is {value}; {low}...{high} expected")
        return value

    def number(self, key, low, high):
        value = self.get(key, (int, float), "a number")
        need(low <= value <= high, f"{self.where}: '{key}' is {value}; {low}...{high} expected")
        return value

    def boolean(self, key):
        return self.get(key, (bool,), "true or false")

    def string(self, key, limit=1 << 20):
        value = self.get(key, (str,), "a string")
        need(len(value.encode()) <= limit and "\0" not in value,
             f"{self.where}: '{key}' is too long or holds a NUL")
        return value

    def choice(self, key, choices):
        value = self.string(key)
        need(value in choices, f"{self.where}: '{key}' is '{value}'; one of {choices} expected")
        return value

    def array(self, key, low, high):
        value = self.get(key, (list,), "an array")
        need(low <= len(value) <= high, f"{self.where}: '{key}' has {len(value)} items")
        return value

    def numbers(self, key, low, high, kinds, least, most):
        value = self.array(key, low, high)
        need(all(isinstance(x, kinds) and not isinstance(x, bool) and least <= x <= most
                 for x in value), f"{self.where}: '{key}' holds something else or out of range")
        return value

    def object(self, key):
        return Fields(self.get(key, (dict,), "an object"), f"{self.where}.{key}")


RULES = ["tiles", "siglip", "question_start"]
ACTIVATIONS = ["silu", "gelu", "gelu_tanh", "quick_gelu"]
DIMENSION, TINY, HUGE = 1 << 24, 2.0 ** -126, 3.4028234663852886e38


def check_model(model):
    """Section MODL."""
    m = Fields(model, "section MODL")
    m.integer("format", 1, 1)
    if m.has("must_understand"):
        for rule in m.array("must_understand", 0, 4096):
            need(rule in RULES, f"section MODL: must_understand lists {rule!r}")
    m.string("family", 255)
    m.string("name", 255)
    t = m.object("text")
    heads = t.integer("heads", 1, 1024)
    need(heads % t.integer("kv_heads", 1, heads) == 0, "section MODL: kv_heads do not divide heads")
    need(t.integer("head_dim", 2, 1024) % 2 == 0, "section MODL: head_dim is odd")
    for key, most in [("layers", 1024), ("width", DIMENSION), ("ffn", DIMENSION),
                      ("vocab", 1 << 21), ("context", 1 << 20)]:
        t.integer(key, 1, most)
    t.number("norm_eps", 0, 1)
    t.choice("activation", ACTIVATIONS)
    t.boolean("tied_head")
    for key in ["qkv", "output", "ffn"]:
        t.object("bias").boolean(key)
    rope = t.object("rope")
    rope.number("theta", TINY, HUGE)
    scaling = rope.object("scaling")
    kind = scaling.choice("kind", ["none", "linear", "llama3"])
    if kind != "none":
        scaling.number("factor", TINY, HUGE)
    if kind == "llama3":
        need(scaling.number("low", TINY, HUGE) < scaling.number("high", TINY, HUGE),
             "section MODL: rope scaling: 'high' is not more than 'low'")
        scaling.integer("original", 1, 1 << 20)
    vocabulary = t.value["vocab"]
    m.numbers("end_of_text", 0, 64, int, 0, vocabulary - 1)
    need(m.has("vision") == m.has("projector") == m.has("image_token"),
         "section MODL: vision, projector and image_token must be there together")
    if m.has("vision"):
        v = m.object("vision")
        width = v.integer("width", 1, DIMENSION)
        need(width % v.integer("heads", 1, 1024) == 0, "section MODL: vision heads")
        v.integer("ffn", 1, DIMENSION)
        layers = v.integer("layers", 0, 1024)
        image = v.integer("image", 1, 16384)
        patch = v.integer("patch", 1, image)
        v.choice("activation", ACTIVATIONS)
        v.number("norm_eps", 0, 1)
        features = v.numbers("feature_layers", 1, 64, int, 0, layers)
        kind = v.choice("kind", ["clip", "siglip"]) if v.has("kind") else "clip"
        has_class_row = v.boolean("class_row")
        need(not (has_class_row and kind == "siglip"), "section MODL: siglip has no class row")
        if v.has("tiles"):
            need(not has_class_row, "section MODL: tiles and a class row")
            check_tiles(v.object("tiles"), image, (image // patch) ** 2)
        need(width * len(features) <= DIMENSION and 3 * patch * patch <= DIMENSION
             and (image // patch) ** 2 + 1 <= 1 << 20, "section MODL: an extent is too large")
        m.object("projector").choice("activation", ACTIVATIONS)
        m.object("projector").boolean("bias")
        m.integer("image_token", 0, vocabulary)


def check_tiles(tiles, side, patches):
    for grid in tiles.array("grids", 1, 256):
        need(isinstance(grid, list) and len(grid) == 2
             and all(type(x) is int and 1 <= x <= 256 for x in grid), "section MODL: a grid")
        columns, rows = grid
        need(columns * rows <= 256 and max(grid) * side <= 65535
             and columns * rows * side * side <= 1 << 27
             and (2 * columns * rows + 1) * patches <= 1 << 20,
             f"section MODL: {columns} x {rows} tiles are too many")
    if tiles.has("thin_above"):
        tiles.integer("thin_above", 1, 256)


def check_image_steps(steps, model):
    """Section IPRE."""
    s = Fields(steps, "section IPRE")
    tiled = (model.get("vision") or {}).get("tiles") is not None
    mode = check_resize(s, s.object("resize"), model)
    need(not tiled or mode == "exact" and not s.has("crop"),
         "section IPRE: tiles need 'exact' and no crop")
    if s.has("several"):
        need(tiled, "section IPRE: 'several' is for tiles")
        check_resize(s, s.object("several"), model)
    s.choice("filter", ["bicubic", "bilinear", "lanczos", "nearest"])
    s.number("rescale", 1e-9, 1e9)
    s.numbers("mean", 3, 3, (int, float), -1e9, 1e9)
    s.numbers("std", 3, 3, (int, float), 1e-9, 1e9)


def check_resize(s, resize, model):
    """One rule of section IPRE; its mode."""
    mode = resize.choice("mode", ["shortest_edge", "pad_square", "exact", "none"])
    side = None
    if mode != "none":
        size = resize.integer("size", 1, 16384)
        side = size if mode != "shortest_edge" else None
    if mode == "pad_square":
        resize.numbers("color", 3, 3, int, 0, 255)
    if s.has("crop"):
        side = s.integer("crop", 1, 16384)
    if side is not None and "vision" in model:
        need(side == model["vision"]["image"], f"section IPRE: gives {side} x {side} pixels")
    return mode


def check_template(template, model):
    """Section cHAt."""
    t = Fields(template, "section cHAt")
    t.string("name", 255)
    for key in ["opening", "user_start", "image", "user_end", "assistant_start", "assistant_end",
                "image_placeholder"]:
        t.string(key)
    if t.has("question_start"):
        t.string("question_start")
    if "vision" in model:
        mark = template["image_placeholder"]
        need(mark and mark in template["image"], "section cHAt: 'image' lacks the placeholder")


def tensor_groups(model):
    """Per group: (name, role, layer or -1, kind, shape) of each tensor, in the file's order."""
    text, groups = model["text"], []

    def namer(prefix, layer=-1):
        place = f"{prefix}.layers.{layer}." if layer >= 0 else f"{prefix}."
        group = []

        def add(name, role, shape, kind=MATRIX):
            group.append((place + name, role, layer, kind if len(shape) > 1 else VECTOR, shape))
        return group, add

    if "vision" in model:
        v = model["vision"]
        width, ffn = v["width"], v["ffn"]
        patches = (v["image"] // v["patch"]) ** 2
        group, add = namer("vision")
        if v.get("kind") == "siglip":
            add("patchEmbedding", 257, [width, 3 * v["patch"] ** 2])
            add("patchEmbeddingBias", 261, [width])
            add("positionEmbedding", 258, [patches, width], VECTOR)
        else:
            add("classEmbedding", 256, [width])
            add("patchEmbedding", 257, [width, 3 * v["patch"] ** 2])
            add("positionEmbedding", 258, [patches + 1, width], VECTOR)
            add("preNorm", 259, [width])
            add("preNormBias", 260, [width])
        for layer in range(v["layers"]):
            part, add = namer("vision", layer)
            add("visionAttentionNorm", 272, [width])
            add("visionAttentionNormBias", 273, [width])
            for name, role in [("Query", 274), ("Key", 275), ("Value", 276),
                               ("AttentionOutput", 277)]:
                add("vision" + name, role, [width, width])
                add(f"vision{name}Bias", role + 4, [width])
            add("visionFeedForwardNorm", 288, [width])
            add("visionFeedForwardNormBias", 289, [width])
            add("visionUp", 290, [ffn, width])
            add("visionUpBias", 291, [ffn])
            add("visionDown", 292, [width, ffn])
            add("visionDownBias", 293, [width])
            group += part
        groups.append(group)
        group, add = namer("projector")
        width = text["width"]
        for name, role, shape in [
                ("projectorIn", 512, [width, v["width"] * len(v["feature_layers"])]),
                ("projectorOut", 514, [width, width])]:
            add(name, role, shape)
            if model["projector"]["bias"]:
                add(name + "Bias", role + 1, [width])
        if v.get("tiles") is not None:
            add("imageNewline", 516, [width])
        groups.append(group)

    width, ffn = text["width"], text["ffn"]
    query, key = text["heads"] * text["head_dim"], text["kv_heads"] * text["head_dim"]
    group, add = namer("text")
    add("embedding", 1, [text["vocab"], width], EMBEDDING)
    groups.append(group)
    for layer in range(text["layers"]):
        group, add = namer("text", layer)
        add("attentionNorm", 16, [width])
        for name, role, shape, bias in [
                ("query", 17, [query, width], "qkv"), ("key", 18, [key, width], "qkv"),
                ("value", 19, [key, width], "qkv"),
                ("attentionOutput", 20, [width, query], "output"), (None, 0, None, None),
                ("gate", 33, [ffn, width], "ffn"), ("up", 34, [ffn, width], "ffn"),
                ("down", 35, [width, ffn], "ffn")]:
            if name is None:
                add("feedForwardNorm", 32, [width])
                continue
            add(name, role, shape)
            if text["bias"][bias]:
                add(name + "Bias", role + (4 if role < 32 else 3), [shape[0]])
        groups.append(group)
    group, add = namer("text")
    add("finalNorm", 2, [width])
    if not text["tied_head"]:
        add("head", 3, [text["vocab"], width])
    groups.append(group)
    return groups


# ---- encodings ----

def matrix_extents(shape):
    return shape[0], math.prod(shape[1:])


def encoded_size(encoding, shape):
    rows, columns = matrix_extents(shape)
    tile_rows, tile_columns, tile_bytes = TILES[encoding]
    return -(-rows // tile_rows) * -(-columns // tile_columns) * tile_bytes


def half(bits):
    return struct.unpack("<e", struct.pack("<H", bits))[0]


def decode(encoding, shape, data):
    """The values as rows of floats, exactly as formats/encodings.md defines them."""
    rows, columns = matrix_extents(shape)
    if numpy is not None:
        return decode_numpy(encoding, rows, columns, data).tolist()
    if encoding == "f32":
        flat = struct.unpack(f"<{rows * columns}f", data)
        return [list(flat[r * columns:(r + 1) * columns]) for r in range(rows)]
    tile_rows, tile_columns, tile_bytes = TILES[encoding]
    per_panel = -(-columns // tile_columns)
    result = []
    for row in range(rows):
        values = []
        for column in range(columns):
            tile = (row // tile_rows * per_panel + column // tile_columns) * tile_bytes
            r, c = row % tile_rows, column % tile_columns
            if encoding == "f16":
                value = struct.unpack_from("<e", data, tile + 2 * r)[0]
            elif encoding == "bf16":
                bits = struct.unpack_from("<H", data, tile + 4 * r + 2 * c)[0]
                value = struct.unpack("<f", struct.pack("<I", bits << 16))[0]
            else:
                bits, header, has_minimum, group = INTEGERS[encoding]
                scale = struct.unpack_from("<e", data, tile + 64 * (c // group) + 2 * r)[0]
                integer = tile_integer(data, tile + header, bits, r, c)
                if has_minimum:
                    # In f32, as the page says.
                    value = single(single(scale * integer)
                                   + struct.unpack_from("<e", data, tile + 64 + 2 * r)[0])
                else:
                    value = scale * (integer - (1 << bits - 1))
            values.append(value)
        result.append(values)
    return result


def single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def tile_integer(data, start, bits, r, c):
    """The integer in row r and column c of a tile whose integers begin at `start`."""
    if bits == 8:
        return data[start + 128 * (c // 4) + 4 * r + c % 4]
    byte = data[start + 64 * (c // 4) + 4 * (r % 16) + c % 4]
    integer, bit = byte >> 4 if r >= 16 else byte & 15, 4 * r + c % 4
    for plane in range(bits - 4):
        byte = data[start + 512 + 128 * plane + 16 * (c // 4) + bit // 8]
        integer |= (byte >> bit % 8 & 1) << 4 + plane
    return integer


def decode_numpy(encoding, rows, columns, data):
    if encoding == "f32":
        return numpy.frombuffer(data, "<f4").reshape(rows, columns)
    tile_rows, tile_columns, tile_bytes = TILES[encoding]
    panels, across = -(-rows // tile_rows), -(-columns // tile_columns)
    tiles = numpy.frombuffer(data, numpy.uint8).reshape(panels, across, tile_bytes)
    if encoding == "f16":
        values = tiles.view("<f2").astype("f4")[:, :, :, None]
    elif encoding == "bf16":
        values = (tiles.view("<u2").astype("u4") << 16).view("f4").reshape(panels, across, 32, 2)
    else:
        bits, header, has_minimum, group = INTEGERS[encoding]
        scales = numpy.ascontiguousarray(tiles[:, :, :header]).view("<f2").astype("f4")
        quants = tiles[:, :, header:]
        if bits < 8:
            nibbles = quants[:, :, :512].reshape(panels, across, 8, 64)
            planes = quants[:, :, 512:].reshape(panels, across, bits - 4, 8, 16)
            quants = numpy.concatenate([nibbles & 15, nibbles >> 4], axis=3)
            for plane in range(bits - 4):
                marks = numpy.unpackbits(planes[:, :, plane], axis=3, bitorder="little")
                quants = quants | marks << 4 + plane
        quants = quants.reshape(panels, across, 8, 32, 4).transpose(0, 1, 3, 2, 4)
        quants = quants.reshape(panels, across, 32, 32).astype("f4")
        if has_minimum:
            values = quants * scales[:, :, :32, None] + scales[:, :, 32:, None]
        elif group == 16:
            scales = scales.reshape(panels, across, 2, 32).transpose(0, 1, 3, 2)
            values = (quants - (1 << bits - 1)) * scales.repeat(16, axis=3)
        else:
            values = (quants - (1 << bits - 1)) * scales[..., None]
    whole = values.transpose(0, 2, 1, 3).reshape(panels * tile_rows, across * tile_columns)
    return whole[:rows, :columns]


def first_non_finite(encoding, data):
    """The place of the first weight or scale that is infinite or not a number, or None."""
    if encoding in INTEGERS:
        header = INTEGERS[encoding][1]
        return next((place for place in range(0, len(data), TILES[encoding][2])
                     if first_non_finite("f16", data[place:place + header]) is not None), None)
    code, mask = {"f32": ("I", 0x7F800000), "f16": ("H", 0x7C00), "bf16": ("H", 0x7F80)}[encoding]
    size = struct.calcsize(code)
    if numpy is not None:
        found = numpy.flatnonzero(numpy.frombuffer(data, f"<u{size}") & mask == mask)
        return int(found[0]) * size if len(found) else None
    numbers = struct.unpack(f"<{len(data) // size}{code}", data)
    return next((i * size for i, x in enumerate(numbers) if x & mask == mask), None)


# ---- the file ----

class Table:
    """A little-endian cursor that refuses to leave its bytes."""

    def __init__(self, raw, where):
        self.raw, self.where, self.offset = raw, where, 0

    def take(self, count):
        need(count <= len(self.raw) - self.offset, f"{self.where}: ends early")
        self.offset += count
        return self.raw[self.offset - count:self.offset]

    def unpack(self, layout):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def zeros(self, count):
        need(not any(self.take(count)), f"{self.where}: reserved byte is not zero")

    def end(self):
        need(self.offset == len(self.raw), f"{self.where}: bytes are left over")


class Section:
    def __init__(self, entry):
        (self.code, self.instance, self.codec, self.content, self.offset, self.stored_size,
         self.raw_size, self.crc, self.align, zero, self.sha, zeros) = struct.unpack(
            "<4sHBBQQQIB3s32s8s", entry)
        need(re.fullmatch(rb"[A-Za-z]{2}[A-Z][A-Za-z]", self.code),
             f"section table: type {self.code!r}")
        self.type = self.code.decode()
        self.name = f"section {self.type}" + (f" {self.instance}" if self.type == "WGTS" else "")
        need(not any(zero + zeros), f"{self.name}: reserved byte is not zero")

    @property
    def is_critical(self):
        return self.type[0].isupper()

    @property
    def is_known(self):
        return self.type in JSON_SECTIONS | TABLE_SECTIONS | {"WGTS"}

    @property
    def end(self):
        return self.offset + self.stored_size


class File:
    """A file whose structure was checked; `verify` reads the weights as well."""

    def __init__(self, path):
        self.path = path
        try:
            need(stat.S_ISREG(os.stat(path).st_mode), "is not a regular file")
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                need(128 <= size <= 1 << 42, f"has {size} bytes")
                self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise Bad(error.strerror) from None
        self.size = size
        self.read_header()
        self.read_table()
        self.model = {k: v for k, v in self.json("MODL").items() if v is not None}
        check_model(self.model)
        self.read_tensors()
        self.read_plan()
        self.read_layers()
        self.image_steps = self.json("IPRE") if self.find("IPRE") else None
        need(self.image_steps or "vision" not in self.model, "section IPRE is missing")
        if self.image_steps:
            check_image_steps(self.image_steps, self.model)
        self.read_tokenizer()
        self.template = self.json("cHAt") if self.find("cHAt") else None
        if self.template:
            check_template(self.template, self.model)
        self.calibration = self.json("cALB") if self.find("cALB") else None
        self.provenance = self.json("pROV") if self.find("pROV") else None

    # -- framing

    def read_header(self):
        raw = self.bytes[:128]
        need(raw[:8] == MAGIC, f"is not a .vtwm file (its first bytes are {raw[:8].hex()})")
        need(zlib.crc32(raw[:124]) == struct.unpack_from("<I", raw, 124)[0],
             "header: checksum is wrong")
        (self.major, self.minor, header_size, file_size, self.need, self.may, table, self.count,
         entry_size, self.page, self.tensor_align, content_id, zeros, self.table_crc) = (
            struct.unpack_from("<HHIQQQQIIII32s24sI", raw, 8))
        self.content_id = content_id.hex()
        need(self.major == 1, f"has format version {self.major}")
        need(header_size == 128 and table == 128 and entry_size == 80, "header: sizes")
        need(file_size == self.size, f"has {self.size} bytes, but was written with {file_size}")
        need(self.need & ~FROZEN_ROWS == 0, f"needs features {self.need:#x}")
        need(1 <= self.count <= 4096 and 128 + 80 * self.count <= self.size,
             f"header: {self.count} sections")
        need(4096 <= self.page <= 2 << 20 and self.page & (self.page - 1) == 0, "header: page size")
        need(64 <= self.tensor_align <= self.page
             and self.tensor_align & (self.tensor_align - 1) == 0, "header: tensor alignment")
        need(not any(zeros), "header: reserved byte is not zero")

    def read_table(self):
        end = 128 + 80 * self.count
        table = self.bytes[128:end]
        need(zlib.crc32(table) == self.table_crc, "section table: checksum is wrong")
        self.sections = []
        for start in range(0, len(table), 80):
            section = Section(table[start:start + 80])
            self.check_section(section)
            need(section.offset == align(end, 1 << section.align),
                 f"{section.name}: starts at byte {section.offset}; sections lie back to back")
            need(not any(self.bytes[end:section.offset]), f"{section.name}: padding is not zero")
            end = section.end
            need(end <= self.size, f"{section.name}: does not fit the file")
            need(all((s.code, s.instance) != (section.code, section.instance)
                     for s in self.sections), f"{section.name}: stands twice")
            self.sections.append(section)
        need(end == self.size, f"the last section ends at byte {end}")
        for kind in REQUIRED:
            need(self.find(kind), f"section {kind} is missing")
        self.weights = [s for s in self.sections if s.type == "WGTS"]
        need([s.instance for s in self.weights] == list(range(len(self.weights))),
             "WGTS sections are not in order")
        text = b"".join(s.code + struct.pack("<HQ", s.instance, s.raw_size) + s.sha for s in
                        sorted(self.sections, key=lambda s: (s.code, s.instance)) if s.is_critical)
        need(hashlib.sha256(text).hexdigest() == self.content_id, "header: content id is wrong")
        for section in self.sections:
            if not section.is_known:
                need(zlib.crc32(self.stored(section)) == section.crc,
                     f"{section.name}: checksum is wrong")

    def check_section(self, s):
        need(s.codec <= 1, f"{s.name}: codec {s.codec} is not known")
        need(s.content <= 2, f"{s.name}: content kind {s.content}")
        need(3 <= s.align <= 21, f"{s.name}: alignment 2^{s.align}")
        if s.is_known:
            content = 1 if s.type in JSON_SECTIONS else 2 if s.type in TABLE_SECTIONS else 0
            need(s.content == content, f"{s.name}: content kind {s.content}")
        else:
            need(not s.is_critical, f"{s.name} is needed, but not known")
        if s.type == "WGTS":
            need(s.codec == 0 and 1 << s.align >= self.page, f"{s.name}: codec or alignment")
        elif s.is_known:
            need(s.instance == 0, f"{s.name}: instance {s.instance}")
        need(s.stored_size <= self.size, f"{s.name}: does not fit the file")
        if s.codec == 0:
            need(s.raw_size == s.stored_size, f"{s.name}: sizes differ")
        else:
            need(s.raw_size <= 1032 * s.stored_size + 64, f"{s.name}: cannot hold {s.raw_size}")
        if s.type != "WGTS" and (s.is_known or s.codec):
            need(s.raw_size <= (16 << 20 if s.content == 1 else 64 << 20), f"{s.name}: too large")

    def find(self, kind):
        return next((s for s in self.sections if s.type == kind), None)

    def stored(self, section):
        return self.bytes[section.offset:section.end]

    def raw(self, kind):
        section = self.find(kind)
        data = self.stored(section)
        need(zlib.crc32(data) == section.crc, f"{section.name}: checksum is wrong")
        if section.codec == 1:
            stream = zlib.decompressobj()
            try:
                data = stream.decompress(data, section.raw_size + 1)
            except zlib.error as error:
                raise Bad(f"{section.name}: {error}") from None
            need(stream.eof and not stream.unused_data and len(data) == section.raw_size,
                 f"{section.name}: is not a zlib stream of {section.raw_size} bytes")
        return data

    def json(self, kind):
        return strict_json(self.raw(kind), f"section {kind}")

    # -- tables

    def read_tensors(self):
        t = Table(self.raw("TDIR"), "section TDIR")
        count, entry_size, names_offset, names_size = t.unpack("IIQI")
        t.zeros(12)
        groups = tensor_groups(self.model)
        expected = [(group, *tensor) for group, tensors in enumerate(groups) for tensor in tensors]
        need(count == len(expected), f"section TDIR: {count} tensors; {len(expected)} expected")
        need(64 <= entry_size <= 4096, f"section TDIR: entries of {entry_size} bytes")
        need(names_offset == 32 + count * entry_size, "section TDIR: names_offset")
        need(len(self.weights) == len(groups), f"{len(groups)} WGTS sections expected")
        self.tensors, name_end, ends = [], 0, [0] * len(groups)
        for group, canonical, role, layer, kind, shape in expected:
            (name_offset, name_size, rank, found_kind, found_role, found_layer, found_group, code,
             *dims) = t.unpack("IHBBHhHH4I")
            offset, size, crc, source_crc, source = t.unpack("QQIIB")
            t.zeros(7)
            t.take(entry_size - 64)
            where = f"tensor '{canonical}'"
            need((found_role, found_layer) == (role, layer),
                 f"section TDIR: role {found_role}, layer {found_layer} where {where} must stand")
            need(found_kind == kind and found_group == group, f"{where}: kind or group")
            need(rank == len(shape) and dims == shape + [1] * (4 - rank), f"{where}: is {dims}")
            need(code in ENCODINGS, f"{where}: encoding {code} is not known")
            encoding = ENCODINGS[code]
            need(kind != VECTOR or encoding == "f32", f"{where}: a vector must be f32")
            need(offset == align(ends[group], self.tensor_align), f"{where}: starts at {offset}")
            need(size == encoded_size(encoding, shape), f"{where}: has {size} bytes")
            ends[group] = offset + size
            need(name_offset == name_end and 1 <= name_size <= 255, f"{where}: name range")
            name_end += name_size
            self.tensors.append({
                "name": canonical, "name_size": name_size, "encoding": encoding, "shape": shape,
                "group": group, "offset": offset, "size": size, "crc": crc,
                "source_crc": source_crc, "source": SOURCE_TYPES.get(source, "-")})
        need(name_end == names_size, "section TDIR: names_size")
        names = set()
        for tensor in self.tensors:
            try:
                tensor["name"] = t.take(tensor["name_size"]).decode("utf-8")
            except UnicodeDecodeError:
                raise Bad("section TDIR: a name is not UTF-8") from None
            need("\0" not in tensor["name"], "section TDIR: a name holds a NUL")
            names.add(tensor["name"])
        need(len(names) == count, "section TDIR: a name stands twice")
        t.end()
        for section, end in zip(self.weights, ends):
            need(section.raw_size == end, f"{section.name}: its tensors take {end} bytes")

    def read_plan(self):
        t = Table(self.raw("PLAN"), "section PLAN")
        text = self.model["text"]
        layers, classes, caches, variants, default, segments, candidates = t.unpack("IHHHHII")
        sizes = t.unpack("5H")
        t.zeros(2)
        (names_size,) = t.unpack("I")
        t.zeros(28)
        need(layers == text["layers"], f"section PLAN: is for {layers} layers")
        need(classes == 4 and 1 <= caches <= 255 and 1 <= variants <= 256 and default < variants
             and variants <= segments <= 1024 and candidates <= 4096, "section PLAN: counts")
        for size, least in zip(sizes, (32, 32, 32, 16, 24)):
            need(least <= size <= 4096, f"section PLAN: records of {size} bytes")

        def record(place, layout):
            values = t.unpack(layout)
            t.take(sizes[place] - struct.calcsize("<" + layout))
            return values

        most = {}
        for index, (name, kind) in enumerate(CLASSES):
            found, rows, found_kind = record(0, "24sII")
            most[index] = 0 if name == "visual" and "vision" not in self.model else text["context"]
            need((found, rows, found_kind) == (name.encode().ljust(24, b"\0"), most[index], kind),
                 f"section PLAN: class {index}")
        masks, self.precision = [], None
        for index in range(caches):
            mask, capacity, dtype, zeros, size, more = record(1, "IIB7sQ8s")
            need(mask & ~ALL == 0 and mask not in masks, f"section PLAN: KV class {index}: mask")
            rows = min(text["context"], sum(most[c] for c in range(4) if mask >> c & 1))
            need(capacity == rows, f"section PLAN: KV class {index}: holds {capacity} rows")
            need(dtype <= 1 and dtype == (self.precision if masks else dtype),
                 f"section PLAN: KV class {index}: dtype {dtype}")
            need(size == 2 * rows * text["kv_heads"] * text["head_dim"] * (2 if dtype else 4),
                 f"section PLAN: KV class {index}: {size} bytes a layer")
            need(not any(zeros + more), "section PLAN: reserved byte is not zero")
            self.precision = dtype
            masks.append(mask)
        self.profiles, next_segment, name_end = [], 0, 0
        for index in range(variants):
            first, count, k, mode, zero, flops, kv, name_offset, name_size, zeros = record(
                2, "HHHBBffIH10s")
            need(first == next_segment and count >= 1 and first + count <= segments,
                 f"section PLAN: variant {index}: segments")
            need(mode == 0 and zero == 0 and not any(zeros), f"section PLAN: variant {index}: mode")
            need(0 <= flops <= 1 and 0 <= kv <= 1, f"section PLAN: variant {index}: ratios")
            need(name_offset == name_end and 1 <= name_size <= 255,
                 f"section PLAN: variant {index}: name range")
            next_segment, name_end = first + count, name_end + name_size
            self.profiles.append({"name_size": name_size, "count": count, "k": k,
                                  "flops": flops, "kv": kv})
        need(next_segment == segments and name_end == names_size, "section PLAN: left over")
        freezes = False
        for profile in self.profiles:
            profile["segments"], end, mask = [], 0, ALL
            for _ in range(profile["count"]):
                first, last, classes, cache, flags, freeze = record(3, "HHIHHI")
                need(first == end and first < last <= layers, "section PLAN: layers of a segment")
                need(cache < caches and masks[cache] == classes, "section PLAN: mask of a segment")
                need(classes & TEXT == TEXT and classes & ~mask == 0, "section PLAN: mask grows")
                need(flags == 0 and freeze & ~classes == 0 and freeze & TEXT == 0, "section PLAN: frozen rows")
                end, mask = last, classes
                freezes |= freeze != 0
                profile["segments"].append((first, last, classes, freeze))
            need(end == layers, "section PLAN: a variant leaves out layers")
            k = next((s[0] for s in profile["segments"] if not s[2] & 8), layers)
            need(k == profile["k"], f"section PLAN: K = {profile['k']}; its segments say {k}")
            for key, ratio in zip(("flops", "kv"), cost_ratios(self.model, profile["segments"])):
                need(abs(profile[key] - ratio) <= 1e-4,
                     f"section PLAN: {key} ratio {profile[key]}; its segments make it {ratio:.4f}")
        need(not freezes or self.need & FROZEN_ROWS, "section PLAN: freezes rows without its bit")
        self.candidates = []
        for _ in range(candidates):
            eta, mean, most_kl, agreement, k, zero, samples = record(4, "ffffHHI")
            need(all(map(math.isfinite, (eta, mean, most_kl))) and 0 <= agreement <= 1
                 and k <= layers and zero == 0, "section PLAN: a candidate's numbers")
            need(not self.candidates
                 or (self.candidates[-1][0] < eta and self.candidates[-1][1] >= k),
                 "section PLAN: candidates out of order")
            self.candidates.append((eta, k, mean, most_kl, agreement, samples))
        names = set()
        for profile in self.profiles:
            try:
                profile["name"] = t.take(profile["name_size"]).decode("utf-8")
            except UnicodeDecodeError:
                raise Bad("section PLAN: a name is not UTF-8") from None
            need("\0" not in profile["name"], "section PLAN: a name holds a NUL")
            names.add(profile["name"])
        need(len(names) == variants, "section PLAN: a name stands twice")
        t.end()
        self.default, self.masks = default, masks

    def read_layers(self):
        t = Table(self.raw("LAYR"), "section LAYR")
        text = self.model["text"]
        count, entry_size = t.unpack("II")
        t.zeros(8)
        need(count == text["layers"] and 32 <= entry_size <= 4096, "section LAYR: count or size")
        first_group = 3 if "vision" in self.model else 1
        self.layers = []
        for layer in range(count):
            values = t.unpack("HBBHHHHII")
            kl, flags = t.unpack("fI")
            t.zeros(4)
            t.take(entry_size - 32)
            classes = next(s[2] for s in self.profiles[self.default]["segments"]
                           if s[0] <= layer < s[1])
            expected = (layer, 0 if classes & 8 else 1, self.masks.index(classes), text["heads"],
                        text["kv_heads"], text["head_dim"], text["head_dim"], text["ffn"],
                        first_group + layer)
            need(values == expected, f"section LAYR: layer {layer} is {values}, not {expected}")
            need(flags <= 1 and math.isfinite(kl) and (flags or kl == 0),
                 f"section LAYR: layer {layer}: kl")
            self.layers.append((bool(values[1]), kl if flags else None))
        t.end()

    def read_tokenizer(self):
        t = Table(self.raw("TOKN"), "section TOKN")
        kind, splitter, n, merges, flags, *ids, size, tests = t.unpack("11I")
        t.zeros(20)
        need(1 <= kind <= 3 and splitter <= 4 and flags < 1024, "section TOKN: kind or rules")
        need(1 <= n <= 1 << 21 and tests <= 1024 and 9 * n <= len(t.raw), "section TOKN: counts")
        need(merges == 0 or kind != 1, "section TOKN: merges beside scores")
        need(all(i < n or i == NO_ID for i in ids), "section TOKN: special id")
        offsets = t.unpack(f"{n + 1}I")
        need(offsets[0] == 0 and offsets[-1] == size
             and all(0 <= b - a <= 1024 for a, b in zip(offsets, offsets[1:])),
             "section TOKN: offsets")
        need(all(map(math.isfinite, t.unpack(f"{n}f"))), "section TOKN: a score is not finite")
        kinds = t.unpack(f"{n}B")
        t.zeros(-t.offset % 4)
        need(12 * merges <= len(t.raw), "section TOKN: merges")
        triples = list(struct.iter_unpack("<3I", t.take(12 * merges)))
        text = t.take(size)
        t.zeros(-t.offset % 4)
        self.pieces, seen, seen_bytes = [], set(), set()
        for a, b, piece_kind in zip(offsets, offsets[1:], kinds):
            piece = text[a:b]
            need(1 <= piece_kind <= 6, f"section TOKN: piece of kind {piece_kind}")
            if piece_kind == 6:
                need(len(piece) == 1 and piece not in seen_bytes, "section TOKN: byte piece")
                seen_bytes.add(piece)
            elif piece_kind != 5:
                need(piece and piece not in seen, "section TOKN: an empty or repeated piece")
                seen.add(piece)
                if kind != 2:
                    try:
                        piece.decode("utf-8")
                    except UnicodeDecodeError:
                        raise Bad("section TOKN: a piece is not UTF-8") from None
            self.pieces.append(piece)
        for left, right, result in triples:
            need(max(left, right, result) < n
                 and self.pieces[left] + self.pieces[right] == self.pieces[result],
                 "section TOKN: a merge")
        for _ in range(tests):
            text_size, count = t.unpack("II")
            try:
                t.take(text_size).decode("utf-8")
            except UnicodeDecodeError:
                raise Bad("section TOKN: a test is not UTF-8") from None
            t.zeros(-t.offset % 4)
            need(4 * count <= len(t.raw) and all(i < n for i in t.unpack(f"{count}I")),
                 "section TOKN: a test's ids")
        t.end()
        vocabulary = self.model["text"]["vocab"]
        need(n <= vocabulary
             or (n == vocabulary + 1 and self.model.get("image_token") == vocabulary),
             f"section TOKN: {n} pieces for a vocabulary of {vocabulary}")
        self.tokenizer = {"kind": kind, "pieces": n, "merges": merges, "tests": tests}

    # -- weights

    def tensor_bytes(self, tensor):
        start = self.weights[tensor["group"]].offset + tensor["offset"]
        return self.bytes[start:start + tensor["size"]]

    def verify(self):
        for section in self.sections:
            if section.is_known:
                raw = self.stored(section) if section.type == "WGTS" else self.raw(section.type)
                need(hashlib.sha256(raw).digest() == section.sha, f"{section.name}: SHA-256")
        end = dict.fromkeys(range(len(self.weights)), 0)
        for tensor in self.tensors:
            group, name = tensor["group"], tensor["name"]
            base = self.weights[group].offset
            need(not any(self.bytes[base + end[group]:base + tensor["offset"]]),
                 f"padding before tensor '{name}' is not zero")
            end[group] = tensor["offset"] + tensor["size"]
            data = self.tensor_bytes(tensor)
            need(zlib.crc32(data) == tensor["crc"], f"tensor '{name}': checksum is wrong")
            place = first_non_finite(tensor["encoding"], data)
            need(place is None, f"tensor '{name}': not finite at byte {place}")
        for section in self.weights:
            need(zlib.crc32(self.stored(section)) == section.crc, f"{section.name}: checksum")


# ---- commands ----

def most_rows(vision):
    """Rows of one image; with tiles, the most of those that fill a grid."""
    side = vision["image"] // vision["patch"]
    tile = side * side + vision.get("class_row", 0)
    tiles = vision.get("tiles") or {"grids": []}
    counts = []
    for columns, rows in tiles["grids"]:
        lines, columns = rows * side, columns * side
        ratio = (lines * columns / (tiles["thin_above"] * side * side)) ** 0.5 if "thin_above" in tiles else 1
        if ratio > 1.1:
            lines, columns = int(lines // ratio), int(columns // ratio)
        counts.append(tile + lines * columns + lines)
    return max(counts, default=tile)


def cost_ratios(model, segments):
    """Decoder FLOPs and rows of keys and values of a plan's segments, against all rows in all layers, for a prompt of
    64 text rows and one image."""
    text, vision = model["text"], model.get("vision")
    t, v = 64, most_rows(vision) if vision else 0
    h, q, c, f = text["width"], text["heads"] * text["head_dim"], text["kv_heads"] * text["head_dim"], text["ffn"]

    def cost(segments):
        flops, rows = 0, 0
        for first, last, classes, freeze in segments:
            seen = t + v if classes & 8 else t
            updated = t if freeze & 8 else seen
            layer = updated * 2 * (2 * q + 2 * c + 3 * f) * h + (seen - updated) * 4 * c * h + 4 * updated * seen * q
            flops, rows = flops + (last - first) * layer, rows + (last - first) * seen
        return flops, rows

    own, full = cost(segments), cost([(0, text["layers"], ALL, 0)])
    return own[0] / full[0], own[1] / full[1]


def shape_text(shape):
    return "x".join(map(str, shape))


def info(args):
    file = File(args.file)
    text, vision = file.model["text"], file.model.get("vision")
    print(f"{file.path}: {file.size} bytes, format {file.major}.{file.minor}")
    print(f"model      {file.model['family']} {file.model['name']!a}")
    print(f"decoder    {text['layers']} layers, width {text['width']}, {text['heads']} heads,"
          f" {text['kv_heads']} KV heads, vocabulary {text['vocab']}, context {text['context']}")
    if vision:
        print(f"vision     {vision['layers']} layers, width {vision['width']},"
              f" {vision['image']} pixels, patches of {vision['patch']}")
    print(f"tokenizer  kind {file.tokenizer['kind']}, {file.tokenizer['pieces']} pieces,"
          f" {file.tokenizer['merges']} merges, {file.tokenizer['tests']} tests")
    print(f"KV cache   {'f16' if file.precision else 'f32'}")
    for index, profile in enumerate(file.profiles):
        mark = "*" if index == file.default else " "
        parts = ", ".join(
            f"{a}..<{b} " + ("text" if not c & 8 else "frozen" if f else "all")
            for a, b, c, f in profile["segments"])
        print(f"profile  {mark} {profile['name']!a}: K = {profile['k']} of {text['layers']}"
              f" ({parts}); FLOPs {profile['flops']:.3f}, KV {profile['kv']:.3f}")
    for eta, k, mean, most, agreement, samples in file.candidates:
        print(f"eta {eta:<10.4g} K = {k}, mean KL {mean:.4g}, max {most:.4g}, agreement"
              f" {agreement:.4f}, {samples} samples")
    for s in file.sections:
        print(f"{s.type} {s.instance:<4} offset {s.offset:<12} stored {s.stored_size:<12}"
              f" raw {s.raw_size:<12} {'zlib' if s.codec else ''}".rstrip())
    for tensor in file.tensors:
        print(f"  {tensor['name']!a}: {tensor['encoding']} {shape_text(tensor['shape'])},"
              f" {tensor['size']} bytes, from {tensor['source']}")


def calibration(args):
    record = File(args.file).calibration
    need(record is not None, "was not calibrated")
    for line in record.get("explanation", []) + [f"warning: {text}" for text in record.get("warnings", [])]:
        print(ascii(line)[1:-1])
    chosen, final = chosen_layers(record)
    print(f"K = {record['k']} of {record['layers']}; from the curves: {chosen}, after held-out samples {final}")
    need(record["k"] == final and record.get("k_calibrated", chosen) == chosen, "the curves lead to another K")
    if "schedules" in record:
        check_schedules(record)
    if args.statistics:
        measured = merged_statistics(args.statistics, record["layers"])
        for task in record["tasks"] + [record["pooled"]]:
            for part, held_out in (("curve", False), ("holdout_curve", True)):
                chosen = [
                    sample for sample in measured
                    if sample["held_out"] == held_out and (task is record["pooled"] or sample["task"] == task["name"])
                ]
                need(bool(chosen) == (part in task), f"{task['name']}: statistics and record differ in samples")
                for k, point in enumerate(task.get(part, [])):
                    for key, value in statistics_at(chosen, k).items():
                        need(math.isclose(point[key], value, rel_tol=1e-15),
                             f"{task['name']}, K = {k}: {key} is {point[key]}, by the statistics {value}")
            chosen = [
                sample for sample in measured
                if not sample["held_out"] and (task is record["pooled"] or sample["task"] == task["name"])
            ]
            check_migration(task, [sample["migration"] for sample in chosen if "migration" in sample], record["layers"])
            check_packing(task, [sample["packing"] for sample in chosen if "packing" in sample])
        if "schedules" in record:
            check_points(record, measured)
        print(f"{len(measured)} measured samples give these curves")


def key(point):
    """Names a schedule: where visual rows freeze and leave, or the layers that update them."""
    return (point["freeze"], point["withdraw"]) if "freeze" in point else tuple(point["updated"])


def check_points(record, measured):
    """Takes the loss of every schedule that freezes from the samples once more."""
    found = record["schedules"]
    known = [(sample, {key(point): point for point in sample.get("schedules", [])}) for sample in measured]
    for point in found["points"]:
        if "freeze" in point and point["freeze"] == point["withdraw"]:
            continue
        for prefix, held_out in (("", False), ("holdout_", True)):
            tasks = {}
            for sample, schedules in known:
                if sample["held_out"] == held_out:
                    need(key(point) in schedules, f"schedules: {sample['id']!a} lacks {key(point)}")
                    tasks.setdefault(sample["task"], []).append(schedules[key(point)])
            losses = [sum(int(kl) for part in parts for kl in part["kl"]) * 2.0 ** -40
                      / sum(len(part["kl"]) for part in parts) for parts in tasks.values()]
            shares = ["".join(part["agrees"] for part in parts) for parts in tasks.values()]
            need(bool(tasks) == (prefix + "worst_mean_kl" in point), "schedules: statistics and record differ in samples")
            if tasks:
                agreement = min(share.count("1") / len(share) for share in shares)
                need(math.isclose(point[prefix + "worst_mean_kl"], max(losses), rel_tol=1e-12)
                     and math.isclose(point[prefix + "least_agreement"], agreement, rel_tol=1e-12),
                     f"schedules: {key(point)} loses {max(losses)} and agrees in {agreement} by the statistics")


def check_schedules(record):
    """Takes the front and the choice from the points of `schedules` once more."""
    found, layers = record["schedules"], record["layers"]
    points, chosen = found["points"], found["chosen"]

    known = {key(point): point for point in points}
    need(key(chosen) in known and len(known) == len(points), "schedules: a point stands twice, or the chosen one not at all")
    least = math.inf
    for point, after in zip(points, points[1:] + [None]):
        need(after is None or point["flops_ratio"] <= after["flops_ratio"], "schedules: points are not in order of FLOPs")
        need(point["pareto"] == (point["worst_mean_kl"] < least), f"schedules: {key(point)} is marked wrongly")
        least = min(least, point["worst_mean_kl"])
    print(f"schedule {chosen['name']!a}: {key(chosen)}, {chosen['flops_ratio']:.3f} of the FLOPs")
    if found["method"] not in ("auto", "freeze") or record["criterion"]["rule"] == "budget" or found["objective"] == "time":
        return
    frozen = [a for a in range(layers) if known.get((a, layers), {"passes": False})["passes"]]
    allowed = {(min(frozen, default=layers), layers)}
    if found["method"] == "auto":
        allowed.add((record["k"], record["k"]))
        for a in frozen:
            b = layers
            # Withdrawal at a by itself is the point (a, a).
            while b > a and known.get((a, b - 1), {"passes": False})["passes"]:
                b -= 1
                allowed.add((a, b))
    cost = "kv_ratio" if found["objective"] == "kv" else "flops_ratio"
    best = min((known[point][cost], known[point]["flops_ratio"]) for point in allowed)
    need((chosen[cost], chosen["flops_ratio"]) == best, "schedules: another one is cheaper")
    for own in found.get("own", []):
        need(key(own) in known and own["flops_ratio"] == known[key(own)]["flops_ratio"], f"schedules: {own['name']!a} was not measured")
        need(own[cost] <= chosen[cost], f"schedules: {own['name']!a} costs more than for all tasks")


QUANTITIES = ("system", "visual", "question", "answer", "change")


def check_migration(task, samples, layers):
    """Compares a task's means per layer, of attention by class and of the change, with the samples' sums."""
    need(bool(samples) == ("migration" in task), f"{task['name']}: statistics and record differ in 'migration'")
    for group, found in task.get("migration", {}).items():
        rows = sum(sample[group]["rows"] for sample in samples)
        need(found["rows"] == rows, f"{task['name']}: {found['rows']} rows of {group}, by the statistics {rows}")
        for index, name in enumerate(QUANTITIES):
            for layer in range(layers):
                total = sum(int(sample[group]["sums"][layer][index]) for sample in samples)
                need(math.isclose(found[name][layer], total * 2.0 ** -40 / max(1, rows), rel_tol=1e-15),
                     f"{task['name']}, {group}, layer {layer}: '{name}' is {found[name][layer]}")


def check_packing(task, samples):
    """Compares what packing costs in a task with the samples' divergences."""
    need(bool(samples) == ("packing" in task), f"{task['name']}: statistics and record differ in 'packing'")
    if samples:
        whole = statistics_at([{"kl": [sample["kl"]], "agrees": [sample["agrees"]]} for sample in samples], 0)
        for key in ("mean_kl", "p95_kl", "max_kl", "agreement"):
            need(math.isclose(task["packing"][key], whole[key], rel_tol=1e-15),
                 f"{task['name']}: packing costs {key} {task['packing'][key]}, by the statistics {whole[key]}")


def merged_statistics(paths, layers):
    """The measured samples of all shards of a set, checked by formats/statistics.md."""
    shared, samples, done = None, [], set()
    for path in paths:
        with open(path, "rb") as file:
            part = strict_json(file.read(), path)
        need(part.get("format") == "vtwm-statistics" and part.get("version") == 1, f"{path}: not version 1")
        need(part["layers"] == layers, f"{path}: other layers")
        names = ("model", "set", "samples", "layers", "answer_tokens", "seed", "holdout", "set_warnings", "set_refused")
        own = [part[name] for name in names] + [part.get("compare_source", False)]
        need(shared in (None, own), f"{path}: belongs to other statistics")
        shared = own
        order = [(s["held_out"], s["task"].encode(), s["id"].encode()) for s in part["measured"]]
        need(order == sorted(order), f"{path}: samples are out of order")
        for sample in part["measured"]:
            rows = sample["kl"] + sample["agrees"]
            count = len(rows[0])
            need(len(sample["kl"]) == len(sample["agrees"]) == layers and 1 <= count <= part["answer_tokens"]
                 and all(len(row) == count for row in rows), f"{path}: {sample['id']!a} has rows of other lengths")
            packing = sample.get("packing", {"kl": [], "agrees": ""})
            for point in sample.get("schedules", []):
                need(len(point["kl"]) == len(point["agrees"]) == count, f"{path}: {sample['id']!a} has a wrong 'schedules'")
            need(own[-1] == ("packing" in sample)
                 and len(packing["kl"]) == len(packing["agrees"]) == (count if own[-1] else 0),
                 f"{path}: {sample['id']!a} has a wrong 'packing'")
            for group in sample.get("migration", {}).values():
                need(group["rows"] >= 0 and [len(row) for row in group["sums"]] == [len(QUANTITIES)] * layers,
                     f"{path}: {sample['id']!a} has a wrong 'migration'")
        ids = [sample["id"] for sample in part["measured"] + part["refused"]]
        need(len(set(ids)) == len(ids) and not done & set(ids), f"{path}: a sample counts twice")
        done |= set(ids)
        samples += part["measured"]
    need(len(done) == shared[2], f"{len(done)} of {shared[2]} samples")
    return samples


def statistics_at(samples, k):
    """Mean, 95th percentile and maximum of the divergences at K, and the agreement."""
    ticks = sorted(int(value) for sample in samples for value in sample["kl"][k])
    agrees = "".join(sample["agrees"][k] for sample in samples)
    first = [int(sample["kl"][k][0]) for sample in samples]
    unit = 2.0 ** -40
    return {
        "mean_kl": sum(ticks) / len(ticks) * unit, "p95_kl": ticks[-(-95 * len(ticks) // 100) - 1] * unit,
        "max_kl": ticks[-1] * unit, "agreement": agrees.count("1") / len(agrees),
        "first_token_mean_kl": sum(first) / len(first) * unit,
    }


def chosen_layers(record):
    """What the record's rule takes on its curves, before and after the held-out samples had their say."""
    rule, layers = record["criterion"], record["layers"]
    key = {"paper": "first_token_mean_kl", "quantile": "quantile_kl"}.get(rule["rule"], "mean_kl")

    def passes(curve, k):
        point = curve[k]
        return point[key] <= rule["eta"] and (rule["rule"] == "paper" or point["agreement"] >= rule["agreement"])

    def sustained(curves):
        k = layers
        while k > rule["first_layer"] and all(passes(curve, k - 1) for curve in curves):
            k -= 1
        return k

    parts = [[task[part] for task in record["tasks"] if part in task] for part in ("curve", "holdout_curve")]
    if rule["rule"] == "budget":
        allowed = [row for row in record["layer_costs"] if row["flops_ratio"] <= rule["flops"]]
        k = min(allowed, key=lambda row: row["worst_mean_kl"])["k"] if allowed else layers
        return k, k
    if rule["rule"] == "paper":
        pooled = [record["pooled"][part] for part in ("curve", "holdout_curve") if part in record["pooled"]]
        found = [k for k in range(rule["first_layer"], layers) if passes(pooled[0], k)] + [layers]
        both = [k for k in found if k == layers or all(passes(curve, k) for curve in pooled)]
        return found[0], both[0]
    k = sustained(parts[0])
    return k, max(k, sustained(parts[1])) if parts[1] else k


def verify(args):
    file = File(args.file)
    file.verify()
    print(f"{file.path}: {len(file.sections)} sections and {len(file.tensors)} tensors are whole")


def dump(args):
    file = File(args.file)
    tensor = next((t for t in file.tensors if t["name"] == args.tensor), None)
    need(tensor, f"has no tensor '{args.tensor}'")
    for row in decode(tensor["encoding"], tensor["shape"], file.tensor_bytes(tensor)):
        print(" ".join(map(repr, row)))


def ids(args):
    file = File(args.file)
    print(f"content {file.content_id}")
    for s in file.sections:
        print(f"{s.type} {s.instance} {s.sha.hex()}")


def diff(args):
    a, b = File(args.file), File(args.other)
    lines = []
    sections = {(s.type, s.instance): s for s in a.sections}
    others = {(s.type, s.instance): s for s in b.sections}
    for key in list(sections) + [k for k in others if k not in sections]:
        one, two = sections.get(key), others.get(key)
        if one is None or two is None:
            lines.append(f"{key[0]} {key[1]}: only in {(a if one else b).path}")
        elif one.sha != two.sha:
            lines.append(f"{key[0]} {key[1]}: {one.raw_size} and {two.raw_size} bytes differ")
    names = {t["name"]: t for t in b.tensors}
    for tensor in a.tensors:
        other = names.get(tensor["name"])
        if other is None:
            lines.append(f"tensor '{tensor['name']}': only in {a.path}")
        elif any(tensor[k] != other[k] for k in ("encoding", "shape", "crc")):
            lines.append(
                f"tensor '{tensor['name']}': {tensor['encoding']} {shape_text(tensor['shape'])}"
                f" and {other['encoding']} {shape_text(other['shape'])} differ")
    print("\n".join(lines) if lines else "no difference")
    return 1 if lines else 0


# The tables of formats/vtwm.md: (type code of `struct`, field).
HEADER_FIELDS = [
    ("8s", "magic"), ("H", "major"), ("H", "minor"), ("I", "header_size"), ("Q", "file_size"),
    ("Q", "need"), ("Q", "may"), ("Q", "table_offset"), ("I", "section_count"),
    ("I", "section_entry_size"), ("I", "page"), ("I", "tensor_align"), ("32s", "content_id"),
    ("24s", "reserved"), ("I", "table_crc"), ("I", "header_crc")]
SECTION_FIELDS = [
    ("4s", "type"), ("H", "instance"), ("B", "codec"), ("B", "content"), ("Q", "offset"),
    ("Q", "stored_size"), ("Q", "raw_size"), ("I", "crc"), ("B", "align"), ("3s", "reserved"),
    ("32s", "sha256"), ("8s", "reserved")]
TENSOR_HEADER_FIELDS = [
    ("I", "count"), ("I", "entry_size"), ("Q", "names_offset"), ("I", "names_size"),
    ("12s", "reserved")]
TENSOR_FIELDS = [
    ("I", "name_offset"), ("H", "name_size"), ("B", "rank"), ("B", "kind"), ("H", "role"),
    ("h", "layer"), ("H", "group"), ("H", "encoding"), ("4I", "dims"), ("Q", "data_offset"),
    ("Q", "data_size"), ("I", "crc"), ("I", "source_crc"), ("B", "source_type"),
    ("7s", "reserved")]
LAYER_HEADER_FIELDS = [("I", "count"), ("I", "entry_size"), ("8s", "reserved")]
LAYER_FIELDS = [
    ("H", "layer"), ("B", "truncated"), ("B", "kv_class"), ("H", "heads"), ("H", "kv_heads"),
    ("H", "k_dim"), ("H", "v_dim"), ("I", "ffn"), ("I", "group"), ("f", "kl"), ("I", "flags"),
    ("4s", "reserved")]
PLAN_HEADER_FIELDS = [
    ("I", "n_layers"), ("H", "n_classes"), ("H", "n_kv"), ("H", "n_variants"),
    ("H", "default_variant"), ("I", "n_segments"), ("I", "n_candidates"), ("H", "class_size"),
    ("H", "kv_size"), ("H", "variant_size"), ("H", "segment_size"), ("H", "candidate_size"),
    ("2s", "reserved"), ("I", "names_size"), ("28s", "reserved")]
PLAN_RECORDS = [
    ("class", "n_classes", "class_size", [("24s", "name"), ("I", "max_rows"), ("I", "kind")]),
    ("kv class", "n_kv", "kv_size", [
        ("I", "class_mask"), ("I", "capacity"), ("B", "dtype"), ("7s", "reserved"),
        ("Q", "bytes_per_layer"), ("8s", "reserved")]),
    ("variant", "n_variants", "variant_size", [
        ("H", "first_segment"), ("H", "segments"), ("H", "K"), ("B", "position_mode"),
        ("1s", "reserved"), ("f", "flops_ratio"), ("f", "kv_ratio"), ("I", "name_offset"),
        ("H", "name_size"), ("10s", "reserved")]),
    ("segment", "n_segments", "segment_size", [
        ("H", "first_layer"), ("H", "end_layer"), ("I", "class_mask"), ("H", "kv_class"),
        ("H", "flags"), ("I", "frozen_mask")]),
    ("candidate", "n_candidates", "candidate_size", [
        ("f", "eta"), ("f", "kl_mean"), ("f", "kl_max"), ("f", "agreement"), ("H", "K"),
        ("2s", "reserved"), ("I", "samples")])]
TOKENIZER_FIELDS = [
    ("I", "kind"), ("I", "splitter"), ("I", "pieces"), ("I", "merges"), ("I", "flags"),
    ("I", "bos"), ("I", "eos"), ("I", "unk"), ("I", "pad"), ("I", "bytes_size"), ("I", "tests"),
    ("20s", "reserved")]


def annotate(args):
    file = File(args.file)

    def fields(title, layout, raw, offset, base):
        """Prints one record; returns its values by name and the offset after it."""
        print(f"\n{title}")
        values = {}
        for code, name in layout:
            size = struct.calcsize("<" + code)
            value = struct.unpack_from("<" + code, raw, offset)
            values[name] = value[0]
            if code.endswith("s"):
                shown = value[0].rstrip(b"\0")
                printed = repr(shown.decode()) if shown.isascii() and shown.isalpha() else ""
            else:
                printed = " ".join(f"{x:.9g}" if isinstance(x, float) else str(x) for x in value)
            shown = raw[offset:offset + size].hex()
            print(f"{base + offset:8} {shown:48} {name} {printed}".rstrip())
            offset += size
        return values, offset

    whole = file.bytes[:]
    fields("header", HEADER_FIELDS, whole, 0, 0)
    fields("section table, entry 0", SECTION_FIELDS, whole, 128, 0)
    print()
    for index, s in enumerate(file.sections):
        print(f"{128 + 80 * index:8} 80 bytes: entry {index}, {s.type} {s.instance}, bytes"
              f" {s.offset}..<{s.end}, aligned to {1 << s.align}, {s.raw_size} raw")
    for section in file.sections:
        print(f"\n---- {section.type} {section.instance}: bytes {section.offset}..<{section.end}"
              + (f", offsets below count in its {section.raw_size} raw bytes" if section.codec
                 else ""))
        if section.type == "WGTS":
            for tensor in (t for t in file.tensors if t["group"] == section.instance):
                start = section.offset + tensor["offset"]
                print(f"{start:8} {tensor['size']} bytes: {tensor['name']}, {tensor['encoding']}"
                      f" {shape_text(tensor['shape'])}")
            continue
        raw = file.raw(section.type)
        base = 0 if section.codec else section.offset
        if section.type in JSON_SECTIONS:
            print(json.dumps(strict_json(raw, section.name), indent=1, ensure_ascii=True))
        elif section.type == "TDIR":
            header, end = fields("header", TENSOR_HEADER_FIELDS, raw, 0, base)
            fields("entry 0", TENSOR_FIELDS, raw, end, base)
            print()
            for index, tensor in enumerate(file.tensors):
                print(f"{base + end:8} {header['entry_size']} bytes: entry {index},"
                      f" {tensor['name']!a}, {tensor['encoding']} {shape_text(tensor['shape'])}")
                end += header["entry_size"]
            print(f"{base + end:8} {len(raw) - end} bytes: names")
        elif section.type == "LAYR":
            header, end = fields("header", LAYER_HEADER_FIELDS, raw, 0, base)
            for layer in range(header["count"]):
                _, end = fields(f"layer {layer}", LAYER_FIELDS, raw, end, base)
                end += header["entry_size"] - 32
        elif section.type == "PLAN":
            header, end = fields("header", PLAN_HEADER_FIELDS, raw, 0, base)
            for title, count, size, layout in PLAN_RECORDS:
                for index in range(header[count]):
                    start = end
                    fields(f"{title} {index}", layout, raw, start, base)
                    end = start + header[size]
            print(f"\n{base + end:8} names {raw[end:].decode()!a}")
        else:
            fields("header", TOKENIZER_FIELDS, raw, 0, base)
            print(f"\n      64 {len(raw) - 64} bytes: offsets, scores, kinds, merges, text, tests")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (info, verify, calibration, dump, diff, ids, annotate):
        sub = commands.add_parser(command.__name__)
        sub.add_argument("file")
        if command is dump:
            sub.add_argument("tensor")
        if command is calibration:
            sub.add_argument("statistics", nargs="*")
        if command is diff:
            sub.add_argument("other")
        sub.set_defaults(command=command)
    args = parser.parse_args()
    try:
        return args.command(args)
    except Bad as problem:
        print(f"error: {args.file}: {problem}", file=sys.stderr)
        return 65
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
