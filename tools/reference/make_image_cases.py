"""Writes small image files of every kind and what Pillow makes of them: python make_image_cases.py

Into Tests/Fixtures/image-cases/: the files, `expected.json`, and `pixels.safetensors` with two raw cases.

expected.json
    "pillow": version
    "files": [{
        "file", "format", "mode", "orientation" (EXIF, 1 where absent),
        "width", "height", "sha256"            of ImageOps.exif_transpose(image).convert("RGB"): rows of RGB bytes
        "width_raw", "height_raw", "sha256_raw"  of image.convert("RGB") without looking at EXIF
        or "error": Pillow's words, where it refuses the file }]
        grey-16bit.png also has "sha256_high_byte": Pillow *clips* 16-bit grey to 255 (a white picture); taking the high byte,
        as it does itself for 16-bit RGB, is what a viewer shows
    "resize": [{"file", "filter" ("bicubic", "bilinear", "lanczos"), "width", "height", "sha256"}]  of the transposed RGB
    "processor": [{"file", "rule" ("crop" or "pad"), "side", "resample", "image_mean", "image_std", "shape", "sha256",
                   "tensor" (name in pixels.safetensors, two cases only)}]

`processor` is Hugging Face's CLIPImageProcessor (the Pillow one) on the transposed RGB; sha256 over the little-endian f32
[3, side, side]. Its arithmetic: shortest edge to `side`, the other int(side * long / short); centre crop at
(size - side) // 2; f64(byte) * (1/255) rounded to f32; (x - f32(mean)) / f32(std) in f32.
`pad` is the original LLaVA rule before that: the image is pasted into a square of its longer edge at (longer - shorter) // 2,
the background is int(255 * mean) per channel.
"""

import argparse
import hashlib
import io
import json
import pathlib
import struct
import warnings

import numpy as np
import PIL
from PIL import Image, ImageOps
from reference_model import CLIPImageProcessorPil  # keeps transformers quiet

import torch

from make_images import FIXTURES, scene
from png_writer import SIGNATURE, chunk, write_png
from tensor_file import write_tensors

OUT = FIXTURES / "image-cases"
FILTERS = {"bicubic": Image.BICUBIC, "bilinear": Image.BILINEAR, "lanczos": Image.LANCZOS}
RESIZED_FILES = ["rgb.png", "rgba.png", "444.jpg", "lossy.webp", "one-pixel.png", "tall.png"]
RESIZED_SIZES = [(1, 1), (7, 5), (23, 41), (30, 30), (37, 29), (64, 97), (101, 13)]
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
# file, rule, side, resample, mean, std, stored raw
PROCESSED = [
    ("rgb.png", "crop", 24, 3, CLIP_MEAN, CLIP_STD, "crop.rgb-24"),
    ("rgb.png", "pad", 24, 3, CLIP_MEAN, CLIP_STD, "pad.rgb-24"),
    ("rgb.png", "crop", 336, 3, CLIP_MEAN, CLIP_STD, None),
    ("rgb.png", "pad", 336, 3, CLIP_MEAN, CLIP_STD, None),
    ("rgb.png", "crop", 37, 2, [0.5] * 3, [0.5] * 3, None),
    ("tall.png", "crop", 30, 3, CLIP_MEAN, CLIP_STD, None),
    ("tall.png", "pad", 30, 3, CLIP_MEAN, CLIP_STD, None),
    ("tall.png", "crop", 30, 1, CLIP_MEAN, CLIP_STD, None),
    ("one-pixel.png", "crop", 14, 3, CLIP_MEAN, CLIP_STD, None),
    ("one-pixel.png", "pad", 14, 3, CLIP_MEAN, CLIP_STD, None),
    ("444.jpg", "crop", 37, 3, CLIP_MEAN, CLIP_STD, None),
    ("444.jpg", "pad", 37, 3, CLIP_MEAN, CLIP_STD, None),
    ("orientation-6.jpg", "crop", 24, 3, CLIP_MEAN, CLIP_STD, None),
    ("orientation-6.jpg", "pad", 24, 3, CLIP_MEAN, CLIP_STD, None),
    ("grey.png", "crop", 28, 3, CLIP_MEAN, CLIP_STD, None),
    ("palette-alpha.png", "pad", 28, 3, CLIP_MEAN, CLIP_STD, None),
    ("lossy.webp", "crop", 126, 3, CLIP_MEAN, CLIP_STD, None),
]
WIDTH, HEIGHT = 37, 29  # odd, so that chroma and interlace passes end inside a block


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_alpha(image):
    ramp = np.linspace(0, 255, image.width).astype(np.uint8)[None].repeat(image.height, 0)
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(ramp))
    return image


def samples(image, depth=8):
    """-> rows of pixels of integers, 16 bit samples with a low byte of their own."""
    array = np.asarray(image).astype(int)
    array = array[..., None] if array.ndim == 2 else array
    if depth == 16:
        array = array * 256 + (array * 7 + np.arange(array.shape[1])[None, :, None]) % 256
    elif depth < 8:
        array = array >> (8 - depth)
    return [[tuple(map(int, pixel)) for pixel in row] for row in array]


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def jpegs(image):
    grey = image.convert("L")
    yield "444.jpg", encoded(image, "JPEG", quality=90, subsampling=0)
    yield "422.jpg", encoded(image, "JPEG", quality=85, subsampling=1)
    yield "420.jpg", encoded(image, "JPEG", quality=75, subsampling=2)
    yield "420-even.jpg", encoded(scene(48, 32, 41), "JPEG", quality=80, subsampling=2)
    yield "low-quality.jpg", encoded(image, "JPEG", quality=8)
    yield "grey.jpg", encoded(grey, "JPEG", quality=85)
    yield "progressive.jpg", encoded(image, "JPEG", quality=85, progressive=True)
    yield "progressive-grey.jpg", encoded(grey, "JPEG", quality=85, progressive=True)
    yield "optimized.jpg", encoded(image, "JPEG", quality=60, optimize=True)
    yield "restart.jpg", encoded(image, "JPEG", quality=85, restart_marker_blocks=2)
    ink = Image.merge("CMYK", [*image.split(), grey.point(lambda value: value // 2)])
    yield "cmyk.jpg", encoded(ink, "JPEG", quality=85)  # with Adobe's marker, so stored inverted
    yield "rgb-kept.jpg", encoded(image, "JPEG", quality=85, keep_rgb=True)  # RGB components, no colour transform
    yield "exif-no-orientation.jpg", encoded(image, "JPEG", quality=85, exif=Image.Exif().tobytes())
    yield "one-pixel.jpg", encoded(image.crop((5, 5, 6, 6)), "JPEG")
    for orientation in range(1, 9):
        yield f"orientation-{orientation}.jpg", encoded(scene(20, 12, 42), "JPEG", quality=85, exif=exif(orientation))


def pngs(image):
    grey, alpha = image.convert("L"), with_alpha(image)
    palette = image.quantize(16, dither=Image.Dither.NONE)
    key = struct.pack(">HHH", *image.getpixel((3, 3)))
    yield "rgb.png", encoded(image, "PNG", optimize=True)
    yield "rgba.png", encoded(alpha, "PNG", optimize=True)
    yield "palette.png", encoded(palette, "PNG", optimize=True)
    yield "palette-alpha.png", encoded(palette, "PNG", optimize=True, transparency=bytes(range(0, 256, 16)))
    yield "palette-1bit.png", encoded(image.quantize(2), "PNG", optimize=True)
    yield "grey.png", encoded(grey, "PNG", optimize=True)
    yield "grey-alpha.png", encoded(alpha.convert("LA"), "PNG", optimize=True)
    yield "grey-1bit.png", write_png(samples(grey, 1), 1, 0)
    yield "grey-2bit.png", write_png(samples(grey, 2), 2, 0)
    yield "grey-4bit.png", write_png(samples(grey, 4), 4, 0)
    small = image.resize((24, 19), Image.BICUBIC)
    yield "grey-16bit.png", write_png(samples(small.convert("L"), 16), 16, 0)
    yield "rgb-16bit.png", write_png(samples(small, 16), 16, 2)
    yield "rgba-16bit.png", write_png(samples(with_alpha(small), 16), 16, 6)
    yield "grey-alpha-16bit.png", write_png(samples(with_alpha(small).convert("LA"), 16), 16, 4)
    yield "rgb-interlaced.png", write_png(samples(image), 8, 2, interlaced=True)
    yield "rgba-interlaced.png", write_png(samples(with_alpha(small)), 8, 6, interlaced=True)
    yield "grey-4bit-interlaced.png", write_png(samples(grey, 4), 4, 0, interlaced=True)
    yield "tiny-interlaced.png", write_png(samples(image.crop((0, 0, 3, 2))), 8, 2, interlaced=True)
    yield "rgb-transparent-colour.png", write_png(samples(image), 8, 2, extra=[(b"tRNS", key)])
    yield "grey-transparent-colour.png", write_png(samples(grey), 8, 0, extra=[(b"tRNS", b"\0\x80")])
    yield "gamma.png", write_png(samples(small), 8, 2, extra=[(b"gAMA", struct.pack(">I", 100000))])
    yield "background.png", write_png(samples(with_alpha(small)), 8, 6, extra=[(b"bKGD", struct.pack(">HHH", 255, 0, 0))])
    yield "text-chunks.png", write_png(samples(small), 8, 2, extra=[(b"tEXt", b"Comment\0hello"), (b"prVt", b"x" * 40)])
    yield "orientation-6.png", encoded(small, "PNG", optimize=True, exif=exif(6))
    yield "one-pixel.png", encoded(image.crop((5, 5, 6, 6)), "PNG")
    yield "tall.png", encoded(scene(13, 70, 43), "PNG", optimize=True)


def webps(image):
    yield "lossy.webp", encoded(image, "WEBP", quality=80)
    yield "lossy-low.webp", encoded(image, "WEBP", quality=5)
    yield "lossless.webp", encoded(image, "WEBP", lossless=True)
    yield "lossy-alpha.webp", encoded(with_alpha(image), "WEBP", quality=80)
    yield "lossless-alpha.webp", encoded(with_alpha(image), "WEBP", lossless=True, exact=True)
    yield "orientation-8.webp", encoded(scene(20, 12, 42), "WEBP", quality=80, exif=exif(8).tobytes())
    frames = [scene(16, 16, seed) for seed in (44, 45)]
    yield "animated.webp", encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, duration=100)


def damaged(files):
    jpeg, png, webp = files["444.jpg"], files["rgb.png"], files["lossy.webp"]
    flip = lambda data, at: data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
    idat = png.index(b"IDAT")
    huge = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    yield "truncated.jpg", jpeg[: len(jpeg) // 2]
    yield "header-only.jpg", jpeg[: jpeg.index(b"\xff\xda")]
    yield "truncated-progressive.jpg", files["progressive.jpg"][: len(files["progressive.jpg"]) * 2 // 3]
    yield "missing-end.jpg", jpeg[:-2]
    yield "truncated.png", png[: len(png) // 2]
    yield "header-only.png", png[:33]
    yield "missing-end.png", png[:-12]
    yield "bad-data.png", flip(png, idat + 40)
    yield "bad-header-crc.png", flip(png, 30)
    yield "huge.png", SIGNATURE + chunk(b"IHDR", huge) + chunk(b"IDAT", b"x\x9c\x03\0\0\0\0\1") + chunk(b"IEND", b"")
    yield "zero-width.png", SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 4, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
    yield "truncated.webp", webp[: len(webp) // 2]
    yield "bad-data.webp", webp[:24] + bytes(len(webp) - 24)
    yield "empty.png", b""
    yield "text.jpg", b"This is not an image.\n"
    yield "signature-only.png", SIGNATURE
    yield "jpeg-named.png", files["420.jpg"]  # fine: formats are told by content


def digest(data):
    return hashlib.sha256(data).hexdigest()


def described(path):
    """What Pillow makes of a file -> record, transposed RGB image or None."""
    record = {"file": path.name}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path)
            image.load()
        plain, turned = image.convert("RGB"), ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, bomb errors: all are refusals
        text = str(error).replace(str(path), path.name)
        return {**record, "error": f"{type(error).__name__}: {text.split(' <')[0]}"}, None
    record |= {
        "format": image.format, "mode": image.mode, "orientation": image.getexif().get(0x0112, 1),
        "width": turned.width, "height": turned.height, "sha256": digest(turned.tobytes()),
        "width_raw": plain.width, "height_raw": plain.height, "sha256_raw": digest(plain.tobytes()),
    }
    if image.mode == "I;16":
        high = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
        record["sha256_high_byte"] = digest(high.tobytes())
    return record, turned


def pad_to_square(image, mean):
    """`expand2square` of the original LLaVA code."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), tuple(int(value * 255) for value in mean))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def processed(image, rule, side, resample, mean, std):
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}, resample=resample, image_mean=mean,
        image_std=std,
    )
    image = pad_to_square(image, mean) if rule == "pad" else image
    return processor(images=image, return_tensors="pt")["pixel_values"][0].float().contiguous()


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    image = scene(WIDTH, HEIGHT, 40)
    files = dict([*jpegs(image), *pngs(image), *webps(image)])
    files |= dict(damaged(files))
    for name, data in files.items():
        (OUT / name).write_bytes(data)

    records, images = [], {}
    for name in files:
        record, images[name] = described(OUT / name)
        records.append(record)
    resized = [
        {"file": name, "filter": label, "width": w, "height": h, "sha256": digest(images[name].resize((w, h), f).tobytes())}
        for name in RESIZED_FILES for label, f in FILTERS.items() for w, h in RESIZED_SIZES
    ]
    tensors, processor = {}, []
    for name, rule, side, resample, mean, std, stored in PROCESSED:
        pixels = processed(images[name], rule, side, resample, mean, std)
        processor.append({
            "file": name, "rule": rule, "side": side, "resample": resample, "image_mean": mean, "image_std": std,
            "shape": list(pixels.shape), "sha256": digest(pixels.numpy().tobytes()),
        })
        if stored:
            tensors[stored] = pixels
            processor[-1]["tensor"] = stored
    write_tensors(OUT / "pixels.safetensors", tensors)

    lines = lambda entries: "[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]"
    (OUT / "expected.json").write_text(
        f'{{"pillow": "{PIL.__version__}",\n"files": {lines(records)},\n"resize": {lines(resized)},\n'
        f'"processor": {lines(processor)}}}\n'
    )
    json.loads((OUT / "expected.json").read_text())
    refused = sum("error" in record for record in records)
    print(f"{len(records)} files ({refused} refused), {len(resized)} resizes, {len(processor)} processor cases")


if __name__ == "__main__":
    main()
