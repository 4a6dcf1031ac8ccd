"""Writes the PNG variants that Pillow cannot: 2 and 4 bit grey, 16 bit RGB, Adam7 interlace, odd chunks.

All five row filters are used in turn, so that a reader meets each.
"""

import struct
import zlib

# (first column, first row, column step, row step) of the seven Adam7 passes
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_row(samples, depth):
    """`samples`: integers of `depth` bits, most significant first; the last byte is filled with zero bits."""
    if depth == 16:
        return b"".join(struct.pack(">H", sample) for sample in samples)
    bits = "".join(f"{sample:0{depth}b}" for sample in samples)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def paeth(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def filtered(rows, stride):
    """Rows of bytes -> filter byte and filtered row, filter types 0...4 in turn. `stride`: bytes per pixel, at least 1."""
    out, above = b"", None
    for index, row in enumerate(rows):
        kind = index % 5
        above = above or bytes(len(row))
        left = lambda i, source=row: source[i - stride] if i >= stride else 0
        predict = [
            lambda i: 0, left, lambda i: above[i], lambda i: (left(i) + above[i]) // 2,
            lambda i: paeth(left(i), above[i], left(i, above)),
        ][kind]
        out += bytes([kind]) + bytes((value - predict(i)) & 255 for i, value in enumerate(row))
        above = row
    return out


def write_png(pixels, depth, colour, interlaced=False, extra=()):
    """`pixels`: rows of pixels, a pixel a tuple of samples. `colour`: the header's colour type. -> file bytes.

    `extra`: (kind, data) chunks between header and image data.
    """
    height, width = len(pixels), len(pixels[0])
    stride = max(1, len(pixels[0][0]) * depth // 8)
    data = b""
    for x, y, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        rows = [[sample for pixel in row[x::dx] for sample in pixel] for row in pixels[y::dy]]
        data += filtered([pack_row(row, depth) for row in rows if row], stride)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    body = b"".join(chunk(kind, content) for kind, content in extra)
    compressed = zlib.compress(data, 9)
    half = len(compressed) // 2  # two IDAT chunks, as large files have
    return (
        SIGNATURE + chunk(b"IHDR", header) + body + chunk(b"IDAT", compressed[:half]) + chunk(b"IDAT", compressed[half:])
        + chunk(b"IEND", b"")
    )
