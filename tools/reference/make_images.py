"""Draws the small pictures that the model fixtures look at: python make_images.py [--out Tests/Fixtures/images]

Each is a seeded scene (gradient, discs, bars, a little noise) so that patches differ and JPEG has something to lose.
The sizes are chosen so that preprocessing has to enlarge, shrink, crop both ways, or do nothing.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image

from fixture_cases import SHAPES, shape_name

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures"

# name, width, height, seed
PICTURES = [
    ("square-30.png", 30, 30, 1),  # needs no resize in a 30 px model
    ("square-96.jpg", 96, 96, 2),  # shrunk
    ("wide-80x45.jpg", 80, 45, 3),  # shrunk, cropped left and right
    ("tall-33x70.png", 33, 70, 4),  # shrunk, cropped above and below
    ("small-17x13.png", 17, 13, 5),  # enlarged and cropped
    ("wide-101x64.png", 101, 64, 6),  # odd size
    ("demo-252.jpg", 252, 252, 7),  # twice the demo model's size
]


def scene(width, height, seed):
    """-> PIL RGB image."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = x / width, y / height
    corners = random.uniform(0, 255, (4, 3))
    mix = lambda w, c: w[..., None] * c
    pixels = mix((1 - u) * (1 - v), corners[0]) + mix(u * (1 - v), corners[1])
    pixels += mix((1 - u) * v, corners[2]) + mix(u * v, corners[3])
    for _ in range(4):
        cx, cy, radius = random.uniform(0, 1), random.uniform(0, 1), random.uniform(0.1, 0.3)
        pixels[(u - cx) ** 2 + (v - cy) ** 2 < radius**2] = random.uniform(0, 255, 3)
    for _ in range(2):
        left = random.uniform(0, 0.9)
        pixels[(u > left) & (u < left + 0.08)] = random.uniform(0, 255, 3)
    pixels += random.normal(0, 4, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


def pictures():
    yield from PICTURES
    for seed, (width, height) in enumerate(SHAPES, start=20):
        yield shape_name(width, height), width, height, seed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=FIXTURES / "images")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, width, height, seed in pictures():
        options = {"quality": 85} if name.endswith("jpg") else {"optimize": True}
        scene(width, height, seed).save(out / name, **options)


if __name__ == "__main__":
    main()
