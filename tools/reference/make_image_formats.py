"""Writes small image files with Pillow's pixels for them: python make_image_formats.py [--out Tests/Fixtures/image-formats]

    decode   every file: CRC-32 of the RGB bytes as stored and turned upright (ImageOps.exif_transpose)
    resize   Image.resize by every filter to many sizes: CRC-32 of the RGB bytes
    pixels   Hugging Face's CLIP and LLaVA image processors: CRC-32 of the float32 values, little-endian

All into one cases.json.  CRC-32 is zlib's.
"""

import argparse
import io
import json
import pathlib
import struct
import zlib

import numpy as np
import PIL
import transformers
from PIL import Image, ImageOps
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures"
ORIENTATION = 0x0112


def scene(width, height, seed, noise=12):
    """-> uint8 [height, width, 3]: a gradient, a disc, a bar and some noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = (x + 0.5) / width, (y + 0.5) / height
    low, high = random.uniform(0, 255, (2, 3))
    pixels = low + (u + v)[..., None] / 2 * (high - low)
    pixels[(u - 0.3) ** 2 + (v - 0.4) ** 2 < 0.06] = random.uniform(0, 255, 3)
    pixels[np.abs(u - 0.8) < 0.07] = random.uniform(0, 255, 3)
    return np.clip(pixels + random.normal(0, noise, pixels.shape), 0, 255).astype(np.uint8)


def picture(width=23, height=17, seed=1, noise=12):
    return Image.fromarray(scene(width, height, seed, noise))


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def tiff(orientation, order="<", kind=3, count=1, others=0):
    """An EXIF block, without prefix, of `others` other tags and an orientation."""
    entries = b"".join(struct.pack(order + "HHLL", 0x0100 + i, 4, 1, 7) for i in range(others))
    if kind == 3 and count <= 2:
        value = struct.pack(order + "HH", orientation, 0)
    elif kind == 4 and count == 1:
        value = struct.pack(order + "L", orientation)
    else:
        value = struct.pack(order + "L", 8 + 2 + 12 * (others + 1) + 4)
    entries += struct.pack(order + "HHL", ORIENTATION, kind, count) + value
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HL", 42, 8)
    return head + struct.pack(order + "H", others + 1) + entries + bytes(4) + struct.pack(order + "HHH", orientation, 1, 1)


def xmp(orientation, as_attribute):
    inside = (
        f'<rdf:Description tiff:Orientation="{orientation}"/>'
        if as_attribute
        else f"<rdf:Description><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>"
    )
    return f"<x:xmpmeta><rdf:RDF>{inside}</rdf:RDF></x:xmpmeta>".encode()


# JPEG


def jpeg_segments(data):
    """-> [(marker, bytes with marker and length)], then the rest from the first scan on."""
    at, segments = 2, []
    while data[at + 1] != 0xDA:
        length = struct.unpack(">H", data[at + 2 : at + 4])[0] + 2
        segments.append((data[at + 1], data[at : at + length]))
        at += length
    return segments, data[at:]


def jpeg_of(segments, rest):
    return b"\xff\xd8" + b"".join(s for _, s in segments) + rest


def with_segment(data, marker, payload):
    segments, rest = jpeg_segments(data)
    return jpeg_of([(marker, struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload)] + segments, rest)


def jpeg_files():
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        yield f"color-{subsampling.replace(':', '')}", saved(picture(), "JPEG", quality=80, subsampling=subsampling)
    yield "quality-10", saved(picture(), "JPEG", quality=10)
    yield "progressive", saved(picture(33, 31, 2), "JPEG", quality=85, progressive=True)
    yield "gray", saved(picture().convert("L"), "JPEG", quality=80)
    yield "gray-progressive", saved(picture().convert("L"), "JPEG", quality=80, progressive=True)
    yield "rgb-stored", saved(picture(), "JPEG", quality=80, keep_rgb=True)
    yield "restarts", saved(picture(40, 35, 3), "JPEG", quality=70, restart_marker_rows=1)
    for width, height in ((1, 1), (1, 33), (33, 1), (8, 8), (16, 16), (17, 9)):
        yield f"size-{width}x{height}", saved(picture(width, height, 4), "JPEG", quality=75)
    inks = Image.fromarray(np.dstack([scene(19, 13, 5), scene(19, 13, 6)[..., :1]]), "CMYK")
    adobe = saved(inks, "JPEG", quality=85)
    yield "cmyk-adobe", adobe
    segments, rest = jpeg_segments(adobe)
    yield "cmyk-no-adobe", jpeg_of([s for s in segments if s[0] != 0xEE], rest)
    # The same coefficients declared as YCCK (transform 2).
    yield "ycck", jpeg_of([(m, s[:-1] + b"\x02" if m == 0xEE else s) for m, s in segments], rest)
    plain = saved(picture(21, 14, 7), "JPEG", quality=80)
    yield "ends-in-comment", plain[:-2] + b"\xff\xfe\x00\x20cut"
    yield "bytes-after-end", plain + b"more bytes \xff\xd8"
    for value in range(1, 9):
        yield f"orientation-{value}", with_segment(plain, 0xE1, b"Exif\0\0" + tiff(value, "<>"[value % 2], others=value % 3))
    yield "orientation-9", with_segment(plain, 0xE1, b"Exif\0\0" + tiff(9))
    yield "orientation-long", with_segment(plain, 0xE1, b"Exif\0\0" + tiff(6, ">", kind=4))
    yield "orientation-far", with_segment(plain, 0xE1, b"Exif\0\0" + tiff(8, ">", count=3))
    yield "orientation-xmp", with_segment(plain, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(5, True))
    yield "orientation-xmp-element", with_segment(plain, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(7, False))
    block = tiff(6, others=4)
    split = with_segment(plain, 0xE1, b"Exif\0\0" + block[20:])
    yield "orientation-two-segments", with_segment(split, 0xE1, b"Exif\0\0" + block[:20])


# PNG

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind, data):
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def packed(samples, depth):
    """samples [rows, columns, channels] -> filtered rows (filters 0 and 2 in turn)."""
    out, before = b"", None
    for number, row in enumerate(samples.reshape(len(samples), -1)):
        if depth == 16:
            data = row.astype(">u2").tobytes()
        else:
            bits = ((row[:, None] >> np.arange(depth)[::-1]) & 1).astype(np.uint8).ravel()
            data = np.packbits(bits).tobytes()
        now = np.frombuffer(data, np.uint8)
        up = number % 2 == 1
        out += bytes([2 if up else 0]) + ((now - before).tobytes() if up else data)
        before = now
    return out


def png(samples, color, depth, interlaced=False, before=b"", after=b"", end=True, parts=1):
    samples = np.atleast_3d(samples).astype(np.int64)
    height, width = samples.shape[:2]
    if interlaced:
        passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        data = b"".join(packed(p, depth) for p in passes if p.size)
    else:
        data = packed(samples, depth)
    data = zlib.compress(data, 9)
    size = -(-len(data) // parts)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, depth, color, 0, 0, interlaced))
        + before
        + b"".join(chunk(b"IDAT", data[i : i + size]) for i in range(0, len(data), size))
        + after
        + (chunk(b"IEND", b"") if end else b"")
    )


def png_files():
    random = np.random.default_rng(8)
    width, height = 13, 11
    rgb = scene(width, height, 9).astype(np.int64)
    alpha = random.integers(0, 256, (height, width, 1))
    wide = lambda a: a * 256 + random.integers(0, 256, a.shape)
    gray = rgb[..., :1]
    gray16 = random.choice([0, 1, 100, 254, 255, 256, 257, 511, 1000, 65535], gray.shape)
    for interlaced in (False, True):
        end = "-interlaced" if interlaced else ""
        for depth in (1, 2, 4):
            yield f"gray-{depth}{end}", png(gray >> (8 - depth), 0, depth, interlaced)
        yield f"gray-8{end}", png(gray, 0, 8, interlaced)
        yield f"gray-16{end}", png(gray16, 0, 16, interlaced)
        yield f"rgb-8{end}", png(rgb, 2, 8, interlaced)
        yield f"rgb-16{end}", png(wide(rgb), 2, 16, interlaced)
        yield f"gray-alpha-8{end}", png(np.dstack([gray, alpha]), 4, 8, interlaced)
        yield f"gray-alpha-16{end}", png(wide(np.dstack([gray, alpha])), 4, 16, interlaced)
        yield f"rgb-alpha-8{end}", png(np.dstack([rgb, alpha]), 6, 8, interlaced)
        yield f"rgb-alpha-16{end}", png(wide(np.dstack([rgb, alpha])), 6, 16, interlaced)
        for depth in (1, 2, 4, 8):
            colors = random.integers(0, 256, (min(1 << depth, 40), 3)).astype(np.uint8)
            indices = random.integers(0, len(colors), (height, width))
            yield f"palette-{depth}{end}", png(indices, 3, depth, interlaced, chunk(b"PLTE", colors.tobytes()))
    colors = chunk(b"PLTE", random.integers(0, 256, (16, 3)).astype(np.uint8).tobytes())
    indices = random.integers(0, 16, (height, width))
    yield "palette-transparent-entry", png(indices, 3, 4, before=colors + chunk(b"tRNS", b"\xff\xff\0\xff"))
    yield "palette-translucent", png(indices, 3, 4, before=colors + chunk(b"tRNS", bytes(range(0, 240, 16))))
    yield "palette-index-outside", png(random.integers(0, 256, (height, width)), 3, 8, before=colors)
    yield "gray-transparent", png(gray >> 4, 0, 4, before=chunk(b"tRNS", struct.pack(">H", 9)))
    yield "rgb-transparent", png(rgb, 2, 8, before=chunk(b"tRNS", struct.pack(">HHH", *rgb[3, 4])))
    yield "gamma", png(rgb, 2, 8, before=chunk(b"gAMA", struct.pack(">L", 100000)) + chunk(b"sBIT", b"\5\5\5"))
    yield "data-in-parts", png(rgb, 2, 8, parts=7)
    yield "no-end", png(rgb, 2, 8, end=False)
    yield "size-1x1", png(rgb[:1, :1], 2, 8)
    yield "size-1x1-interlaced", png(rgb[:1, :1], 2, 8, True)
    yield "size-3x2-interlaced", png(gray[:2, :3] >> 6, 0, 2, True)
    yield "all-filters", saved(picture(30, 24, 10), "PNG", optimize=True)
    yield "orientation-before", png(rgb, 2, 8, before=chunk(b"eXIf", tiff(6)))
    yield "orientation-after", png(rgb, 2, 8, after=chunk(b"eXIf", tiff(5, ">")))
    yield "orientation-palette", png(indices, 3, 4, before=colors + chunk(b"eXIf", tiff(7)))
    yield "orientation-xmp", png(rgb, 2, 8, before=chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(8, True)))
    frames = [picture(12, 9, 11), picture(12, 9, 12)]
    yield "animated", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


# WebP


def riff(*chunks):
    body = b"WEBP" + b"".join(c[:4] + struct.pack("<L", len(c) - 4) + c[4:] + bytes(len(c) % 2) for c in chunks)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def webp_chunks(data):
    at = 12
    while at < len(data):
        length = struct.unpack("<L", data[at + 4 : at + 8])[0]
        yield data[at : at + 4] + data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def uint24(value):
    return struct.pack("<L", value)[:3]


def webp_files():
    image = picture(25, 18, 13)
    clear = image.copy()
    clear.putalpha(Image.fromarray(scene(25, 18, 14)[..., 0]))
    yield "lossy", saved(image, "WEBP", quality=60)
    yield "lossy-1x1", saved(picture(1, 1), "WEBP", quality=60)
    yield "lossy-alpha", saved(clear, "WEBP", quality=60)
    yield "lossless", saved(image, "WEBP", lossless=True)
    yield "lossless-alpha", saved(clear, "WEBP", lossless=True, exact=True)
    yield "lossless-palette", saved(image.quantize(6).convert("RGB"), "WEBP", lossless=True)
    yield "orientation-6", saved(image, "WEBP", quality=60, exif=tiff(6))
    yield "orientation-prefixed", saved(image, "WEBP", quality=60, exif=b"Exif\0\0" + tiff(3))
    yield "orientation-xmp", saved(image, "WEBP", quality=60, xmp=xmp(5, False))
    yield "animated", saved(image, "WEBP", save_all=True, append_images=[picture(25, 18, 15)], lossless=True)
    # An animation whose first frame covers only a part of the canvas.
    frames = []
    for still, left, top in ((picture(9, 7, 16), 4, 6), (picture(11, 8, 17), 0, 0)):
        (frame,) = webp_chunks(saved(still, "WEBP", lossless=True))
        place = uint24(left // 2) + uint24(top // 2) + uint24(still.width - 1) + uint24(still.height - 1)
        frames.append(b"ANMF" + place + uint24(100) + b"\0" + frame[:4] + struct.pack("<L", len(frame) - 4) + frame[4:] + bytes(len(frame) % 2))
    for name, flags in (("animated-part", 0x02), ("animated-part-alpha", 0x12)):
        canvas = b"VP8X" + bytes([flags, 0, 0, 0]) + uint24(19) + uint24(14)
        yield name, riff(canvas, b"ANIM" + b"\x40\x80\xc0\xff" + bytes(2), *frames)


def decode_cases(out):
    cases = []
    for extension, files in (("jpg", jpeg_files()), ("png", png_files()), ("webp", webp_files())):
        for name, data in files:
            file = f"{name}.{extension}"
            (out / file).write_bytes(data)
            stored = Image.open(io.BytesIO(data)).convert("RGB")
            upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
            cases.append(
                {
                    "file": file,
                    "width": upright.width,
                    "height": upright.height,
                    "stored": zlib.crc32(stored.tobytes()),
                    "upright": zlib.crc32(upright.tobytes()),
                }
            )
    return cases


FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# name, width, height, seed, noise; strong noise makes the negative lobes overshoot
SOURCES = [
    ("source-61x47.png", 61, 47, 20, 12),
    ("source-noise-40x40.png", 40, 40, 21, 300),
    ("source-200x3.png", 200, 3, 22, 40),
    ("source-1x90.png", 1, 90, 23, 40),
    ("source-30x30.png", 30, 30, 24, 12),
    ("source-45x120.png", 45, 120, 26, 12),  # shrunk, Pillow takes the vertical pass first
    ("source-1x1.png", 1, 1, 25, 12),
]
SIZES = [(61, 47), (61, 20), (30, 47), (200, 150), (7, 5), (1, 1), (60, 46), (62, 48), (122, 94), (3, 200), (200, 3)]


def resize_cases(out):
    cases = []
    for file, *_ in SOURCES:
        image = Image.open(out / file)
        for width, height in SIZES:
            for name, code in FILTERS.items():
                resized = image.resize((width, height), code)
                cases.append({"file": file, "filter": name, "width": width, "height": height, "crc": zlib.crc32(resized.tobytes())})
    return cases


def clip_steps(name, mode, size, crop):
    processor = CLIPImageProcessorPil(
        do_resize=mode != "none",
        size={"shortest_edge": size} if mode == "shortest_edge" else {"height": size, "width": size},
        resample=FILTERS[name],
        do_center_crop=crop is not None,
        crop_size={"height": crop or 1, "width": crop or 1},
    )
    return processor, {"resize": mode, "size": size, "color": [], "filter": name, "crop": crop}


def padded_steps(name, size, crop):
    processor = LlavaImageProcessorPil(
        do_pad=True, size={"shortest_edge": size}, resample=FILTERS[name], crop_size={"height": crop, "width": crop}
    )
    color = [int(255 * m) for m in OPENAI_CLIP_MEAN]
    return processor, {"resize": "pad_square", "size": size, "color": color, "filter": name, "crop": crop}


def pixel_cases(out):
    ways = [clip_steps(name, "shortest_edge", 28, 28) for name in FILTERS]
    ways += [padded_steps(name, 28, 28) for name in FILTERS]
    ways += [
        clip_steps("bicubic", "shortest_edge", 33, 28),
        clip_steps("bicubic", "shortest_edge", 28, 37),  # padded on one or both axes
        clip_steps("bicubic", "shortest_edge", 30, 30),
        clip_steps("bicubic", "exact", 26, None),
        clip_steps("bilinear", "exact", 26, 20),
        clip_steps("bicubic", "none", 1, 45),
        clip_steps("bicubic", "none", 1, None),
        padded_steps("bicubic", 61, 61),  # the square already has its size
        padded_steps("bicubic", 32, 27),
    ]
    cases = []
    for processor, steps in ways:
        for file, *_ in SOURCES:
            values = processor(Image.open(out / file), return_tensors="np")["pixel_values"][0]
            assert values.dtype == np.float32
            cases.append(
                {
                    "file": file,
                    **steps,
                    "shape": list(values.shape),
                    "crc": zlib.crc32(np.ascontiguousarray(values).astype("<f4").tobytes()),
                }
            )
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=FIXTURES / "image-formats")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for file, width, height, seed, noise in SOURCES:
        (out / file).write_bytes(saved(picture(width, height, seed, noise), "PNG", optimize=True))
    cases = {
        "made_with": f"Pillow {PIL.__version__}, NumPy {np.__version__}, transformers {transformers.__version__}",
        "rescale": 1 / 255,
        "mean": OPENAI_CLIP_MEAN,
        "std": OPENAI_CLIP_STD,
        "decode": decode_cases(out),
        "resize": resize_cases(out),
        "pixels": pixel_cases(out),
    }
    lines = []
    for key, value in cases.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            lines.append(f"{json.dumps(key)}: [\n  {rows}\n ]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    (out / "cases.json").write_text("{\n " + ",\n ".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
