"""Writes .vtwm files with formats/vtwm.md as the only guide, for the Swift reader to open.

    python3 make_vtwm_files.py FOLDER

`ok-*.vtwm` make every choice that the page leaves to a writer differently from the Swift writer
and must open; `bad-*.vtwm` break one rule each and must be refused.
"""

import hashlib
import json
import pathlib
import struct
import sys
import zlib

FOLDER = pathlib.Path(sys.argv[1])
PAGE, TENSOR_ALIGN = 8192, 256
F32, F16, BF16, Q8 = 1, 2, 3, 16

MODEL = {
    "format": 1, "family": "llama", "name": "made by Python", "unknown key": [None, {"x": 1.5}],
    "vision": None, "end_of_text": [2],
    "text": {
        "layers": 2, "width": 6, "ffn": 5, "heads": 2, "kv_heads": 2, "head_dim": 2, "vocab": 3,
        "context": 8, "norm_eps": 0.00001, "activation": "gelu", "tied_head": False,
        "rope": {"theta": 1e4, "scaling": {"kind": "linear", "factor": 2}},
        "bias": {"qkv": False, "output": True, "ffn": True}}}


def align(value, alignment):
    return -(-value // alignment) * alignment


def value(row, column):
    """Exact in every encoding."""
    return ((5 * row + 3 * column) % 16 - 8) / 8


def pack(encoding, rows, columns):
    def at(row, column):
        return value(row, column) if row < rows and column < columns else 0.0

    panels = range(0, align(rows, 1 if encoding == F32 else 32), 1 if encoding == F32 else 32)
    data = b""
    for panel in panels:
        tile = range(panel, panel + 32)
        if encoding == F32:
            data += struct.pack(f"<{columns}f", *(at(panel, c) for c in range(columns)))
        elif encoding == F16:
            for c in range(columns):
                data += struct.pack("<32e", *(at(r, c) for r in tile))
        elif encoding == BF16:
            for first in range(0, columns, 2):
                for r in tile:
                    for c in (first, first + 1):
                        data += struct.pack("<f", at(r, c))[2:]
        else:
            for first in range(0, columns, 32):
                data += struct.pack("<32e", *(1 / 8 if r < rows else 0 for r in tile))
                for quad in range(first, first + 32, 4):
                    for r in tile:
                        data += bytes(int(at(r, c) * 8) + 128 for c in range(quad, quad + 4))
    return data


def tensors():
    """(group, role, layer, kind, shape, encoding)."""
    t = MODEL["text"]
    yield 0, 1, -1, 3, [3, 6], Q8
    for layer in range(t["layers"]):
        code = [BF16, F16][layer]
        for role, shape in [
                (16, [6]), (17, [4, 6]), (18, [4, 6]), (19, [4, 6]), (20, [6, 4]), (24, [6]),
                (32, [6]), (33, [5, 6]), (36, [5]), (34, [5, 6]), (37, [5]), (35, [6, 5]),
                (38, [6])]:
            matrix = len(shape) > 1
            yield 1 + layer, role, layer, 1 if matrix else 2, shape, code if matrix else F32
    yield 3, 2, -1, 2, [6], F32
    yield 3, 3, -1, 1, [3, 6], Q8


def weights_and_directory():
    groups, records, names = [b""] * 4, b"", b""
    for index, (group, role, layer, kind, shape, code) in enumerate(tensors()):
        data = pack(code, shape[0], shape[1] if len(shape) > 1 else 1)
        groups[group] += bytes(-len(groups[group]) % TENSOR_ALIGN)
        name = f"tensor {index}".encode()
        records += struct.pack(
            "<IHBBHhHH4IQQIIB7x", len(names), len(name), len(shape), kind, role, layer, group, code,
            *(shape + [1] * (4 - len(shape))), len(groups[group]), len(data), zlib.crc32(data),
            0, 31)
        records += b"more" * 4  # a later minor version's fields
        groups[group] += data
        names += name
    count = index + 1
    return groups, struct.pack("<IIQI12x", count, 80, 32 + 80 * count, len(names)) + records + names


def plan():
    t = MODEL["text"]
    data = struct.pack("<IHHHHII5H2xI28x", 2, 4, 1, 1, 0, 1, 0, 32, 32, 32, 16, 24, 3)
    for name, rows, kind in [(b"system", 8, 1), (b"user", 8, 1), (b"generated", 8, 4),
                             (b"visual", 0, 2)]:
        data += struct.pack("<24sII", name, rows, kind)
    data += struct.pack("<IIB7xQ8x", 15, 8, 0, 2 * 8 * t["kv_heads"] * t["head_dim"] * 4)
    data += struct.pack("<HHHBxffIH10x", 0, 1, 2, 0, 1, 1, 0, 3)
    return data + struct.pack("<HHIHHI", 0, 2, 15, 0, 0, 0) + b"all"


def layers():
    data = struct.pack("<II8x", 2, 32)
    for layer in range(2):
        data += struct.pack("<HBBHHHHIIfI4x", layer, 0, 0, 2, 2, 2, 2, 5, 1 + layer, 0, 0)
    return data


def tokenizer():
    pieces, none = [b"\xff", b"ab", b"c"], 0xFFFFFFFF
    text = b"".join(pieces)
    data = struct.pack("<11I20x", 2, 3, 3, 0, 0, none, 2, none, none, len(text), 1)
    data += struct.pack("<4I3f3Bx", 0, 1, 3, 4, 0, 0, 0, 1, 1, 3) + text
    return data + struct.pack("<II1s3xI", 1, 1, b"c", 2)


def sections():
    """(type, instance, codec, content, log2 of the alignment, raw)."""
    groups, directory = weights_and_directory()
    text = json.dumps(MODEL, indent=2).encode()
    return [
        ["TOKN", 0, 0, 2, 6, tokenizer()],
        ["qRST", 3, 1, 0, 4, b"of a later version"],
        *(["WGTS", i, 0, 0, 13, group] for i, group in enumerate(groups)),
        ["PLAN", 0, 1, 2, 3, plan()], ["LAYR", 0, 1, 2, 3, layers()],
        ["TDIR", 0, 1, 2, 3, directory], ["MODL", 0, 1, 1, 3, text]]


def build(parts):
    body, entries = b"", b""
    start = 128 + 80 * len(parts)
    for kind, instance, codec, content, alignment, raw in parts:
        stored = zlib.compress(raw, 9) if codec else raw
        offset = align(start + len(body), 1 << alignment)
        body += bytes(offset - start - len(body)) + stored
        entries += struct.pack(
            "<4sHBBQQQIB3x32s8x", kind.encode(), instance, codec, content, offset, len(stored),
            len(raw), zlib.crc32(stored), alignment, hashlib.sha256(raw).digest())
    content = b"".join(
        kind.encode() + struct.pack("<HQ", instance, len(raw)) + hashlib.sha256(raw).digest()
        for kind, instance, *_, raw in sorted(parts, key=lambda p: (p[0], p[1]))
        if kind[0].isupper())
    header = struct.pack(
        "<8sHHIQQQQIIII32s24xI", b"\x89VTW\r\n\x1a\n", 1, 3, 128, start + len(body), 0, 1 << 9,
        128, len(parts), 80, PAGE, TENSOR_ALIGN, hashlib.sha256(content).digest(),
        zlib.crc32(entries))
    return header + struct.pack("<I", zlib.crc32(header)) + entries + body


def write(name, parts):
    (FOLDER / f"{name}.vtwm").write_bytes(build(parts))


def changed(kind, old, new):
    parts = sections()
    part = next(p for p in parts if p[0] == kind)
    assert old in part[5], (kind, old)
    part[5] = part[5].replace(old, new, 1)
    return parts


def main():
    write("ok", sections())
    write("bad-no-tokenizer", sections()[1:])
    write("bad-twice", sections() + [["PLAN", 0, 0, 2, 3, plan()]])
    write("bad-unknown", sections() + [["QRST", 0, 0, 0, 3, b""]])
    write("bad-weights-order", [*sections()[:2], *sections()[5:1:-1], *sections()[6:]])
    write("bad-float-count", changed("MODL", b'"layers": 2', b'"layers": 2.0'))
    write("bad-duplicate-key", changed("MODL", b'"format": 1,', b'"format": 1, "format": 1,'))
    write("bad-trailing-comma", changed("MODL", b'"kv_heads": 2', b'"kv_heads": 2,,'))
    write("bad-name", changed("TDIR", b"tensor 4", b"tensor 5"))
    write("bad-layer-table", changed("LAYR", struct.pack("<HB", 1, 0), struct.pack("<HB", 1, 1)))
    write("bad-mask", changed("PLAN", struct.pack("<HHI", 0, 2, 15), struct.pack("<HHI", 0, 2, 8)))
    write("bad-test-text", changed("TOKN", b"c\0\0\0", b"\xff\0\0\0"))
    data = bytearray(build(sections()))
    data[200] ^= 1
    (FOLDER / "bad-flip.vtwm").write_bytes(data)


main()
