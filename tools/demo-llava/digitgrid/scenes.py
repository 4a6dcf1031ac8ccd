"""Scenes: 3x3 coloured cells with one handwritten digit in each, 126x126 pixels."""

import torch

from .glyphs import CELL

IMAGE = 3 * CELL  # 126 pixels a side: nine patches of 14
COLORS = ["red", "green", "blue", "yellow", "purple", "gray"]
RGB = torch.tensor(
    [[200, 40, 40], [40, 160, 60], [50, 80, 210], [215, 190, 40], [150, 60, 170], [125, 125, 125]], dtype=torch.float32
)
# CLIP's own pixel statistics, as every LLaVA preprocessor has them.
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


def draw_scenes(bank, count, generator):
    """Draws random scenes.

    Returns: images `[count, 3, 126, 126]` u8, digits `[count, 9]` 0...9, colors `[count, 9]` indices into `COLORS`;
    cells in reading order.
    """
    # The order of the draws is part of the contract: a seed must give the same sets in every version.
    digits = torch.randint(0, 10, (count, 9), generator=generator)
    colors = torch.randint(0, 6, (count, 9), generator=generator)
    few = torch.rand(count, 1, generator=generator) < 0.5  # half of the scenes use three colours: counts then vary
    palettes = torch.stack([torch.randperm(6, generator=generator)[:3] for _ in range(count)])
    from_palette = palettes.gather(1, torch.randint(0, 3, (count, 9), generator=generator))
    colors = torch.where(few, from_palette, colors)

    cells = count * 9
    index = torch.randint(0, bank.count, (count, 9), generator=generator).reshape(-1)
    coverage = bank.renderings[digits.reshape(-1), index].float()[:, None] / 255  # (cells, 1, 42, 42)
    tint = 25 * (torch.rand(cells, 3, generator=generator) - 0.5)
    brightness = 0.75 + 0.4 * torch.rand(cells, 1, generator=generator)
    paper = (RGB[colors.reshape(-1)] + tint) * brightness
    light = torch.rand(count, 1, generator=generator) < 0.7  # light ink, else dark; one ink a scene
    ink = torch.where(light, torch.tensor(245.0), torch.tensor(12.0)).expand(count, 9).reshape(-1)

    paper, ink = paper[:, :, None, None], ink[:, None, None, None]
    pixels = paper + (ink - paper) * coverage  # (cells, 3, 42, 42)
    pixels = pixels + 6 * torch.randn((cells, 1, CELL, CELL), generator=generator)
    pixels[:, :, 0, :] *= 0.6  # a dark line marks where a cell begins
    pixels[:, :, :, 0] *= 0.6
    pixels = pixels.clamp_(0, 255).round_().to(torch.uint8)
    images = pixels.view(count, 3, 3, 3, CELL, CELL).permute(0, 3, 1, 4, 2, 5).reshape(count, 3, IMAGE, IMAGE)
    return images, digits, colors


def normalize(images):
    """u8 pixels to what the vision tower takes: f32, CLIP mean and deviation."""
    mean, std = MEAN.to(images.device), STD.to(images.device)
    return (images.float() / 255 - mean[None, :, None, None]) / std[None, :, None, None]
