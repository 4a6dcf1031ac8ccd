"""Question sets on disk: one Hugging Face imagefolder for each task."""

import json
import random
from pathlib import Path

import torch
from PIL import Image

from .glyphs import GlyphBank
from .questions import TASKS, ask
from .scenes import IMAGE, draw_scenes

# How images are stored. `png_every`: every so many-th image is a PNG, the rest are JPEGs.
STANDARD = {"png_every": 3, "quality": 95, "subsampling": 0}  # 4:4:4: as little loss as JPEG has
COMPACT = {"png_every": 8, "quality": 90, "subsampling": 2}  # 4:2:0, as most photographs are: less than half the bytes
ENLARGED_EVERY = 5  # every fifth image is 252x252, so that the preprocessor's resize is used


def write_sets(out, glyphs, seed, per_task, storage=STANDARD):
    """Writes `per_task` questions for each of the six tasks, every one with a scene of its own.

    Each folder holds its images and a `metadata.jsonl` with `file_name`, `question`, `answer` and `type` a line. The same
    arguments give the same scenes and questions everywhere, and the same bytes under the same Pillow and PyTorch.

    `glyphs`: 'training' or 'held-out'.
    """
    bank = GlyphBank(glyphs)
    scene_draws, question_draws = torch.Generator().manual_seed(seed), random.Random(seed)
    for task, kinds in TASKS.items():
        folder = Path(out) / task
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        while len(lines) < per_task:
            index = len(lines)
            images, digits, colors = draw_scenes(bank, 1, scene_draws)
            kind = kinds[index % len(kinds)]
            asked = ask(digits[0].tolist(), colors[0].tolist(), kind, question_draws)
            if asked is None:
                continue  # this scene cannot be asked that; draw another
            question, answer = asked
            name = save(images[0], folder, index, storage)
            lines.append({"file_name": name, "question": question, "answer": answer, "type": kind})
        with open(folder / "metadata.jsonl", "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


def save(pixels, folder, index, storage):
    """Saves one scene `[3, 126, 126]` u8 as the set's image `index`; returns the file's name."""
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    if index % ENLARGED_EVERY == 3:
        image = image.resize((2 * IMAGE, 2 * IMAGE), Image.BICUBIC)
    if index % storage["png_every"] == 0:
        name = f"{index:03d}.png"
        image.save(folder / name, optimize=True)
    else:
        name = f"{index:03d}.jpg"
        image.save(folder / name, quality=storage["quality"], subsampling=storage["subsampling"])
    return name
