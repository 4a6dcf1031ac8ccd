"""Writes how many rows real models make of pictures: python make_row_counts.py

Into Tests/Fixtures/expected/row-counts.json, by the processors of transformers: `[width, height, rows of LLaVA-NeXT
(336 px, the five grids of its class), rows of LLaVA-OneVision (384 px, 36 grids, anyres_max_9)]` for 600 sizes: drawn at
random up to 3,000 pixels, and the corners of what can be read.
"""

import json
import pathlib
import random
from types import SimpleNamespace

from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures" / "expected" / "row-counts.json"
SIDES = [1, 2, 3, 13, 14, 335, 336, 337, 384, 672, 1008, 2304, 65535]


def counter(processor, image_processor, side, **settings):
    """The processor's own count, without the tokenizer that a whole processor needs."""
    this = SimpleNamespace(image_processor=image_processor, **settings)
    this._get_unpadded_features = processor._get_unpadded_features.__get__(this)
    return lambda width, height: processor._get_number_of_features(this, height, width, side, side)


def main():
    following = counter(
        LlavaNextProcessor, LlavaNextImageProcessorPil(), 336, patch_size=14, num_additional_image_tokens=0)
    onevision = counter(
        LlavaOnevisionProcessor, LlavaOnevisionImageProcessorPil(), 384, num_image_tokens=729,
        vision_aspect_ratio="anyres_max_9")
    draw = random.Random(1)
    sizes = [(draw.randint(1, 3000), draw.randint(1, 3000)) for _ in range(431)]
    sizes += [(width, height) for width in SIDES for height in SIDES]
    rows = [[width, height, following(width, height), onevision(width, height)] for width, height in sizes]
    OUT.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print(f"{len(rows)} sizes, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
