"""Stage 1: the vision tower learns to see. Every patch must tell its cell's digit and colour to a linear probe."""

import sys

import torch

from .glyphs import GlyphBank
from .model import matrices, other_vision_parameters, vision_features, vision_layers
from .muon import Muon
from .probes import patch_labels, reading_accuracy, reading_losses
from .recipe import schedule
from .scenes import draw_scenes, normalize

BATCH, TEST_SCENES = 48, 200
GLYPH_VIEWS = 16  # renderings of each training glyph


def train_vision(model, probes, recipe):
    """Trains `model`'s vision tower in place, and the `probes` that the next stage goes on with."""
    steps, device = recipe.steps("vision"), recipe.device
    draws = torch.Generator().manual_seed(recipe.stage_seed("vision"))
    bank = GlyphBank("training", views=GLYPH_VIEWS)
    optimizer = Muon(
        matrices(vision_layers(model)),
        other_vision_parameters(model) + list(probes.parameters()),
        learning_rate=0.02,
        adam_learning_rate=1.5e-3,
    )

    def read(bank, count):
        images, digits, colors = (value.to(device) for value in draw_scenes(bank, count, draws))
        return probes(vision_features(model, normalize(images))), patch_labels(digits, colors)

    for step in range(steps):
        digit, color, _ = reading_losses(*read(bank, BATCH), smoothing=0.05)
        loss = digit + 0.5 * color
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(schedule(step, steps, warmup=50, constant_until=0.4))
        if (step + 1) % 50 == 0 or step + 1 == steps:
            print(f"vision {step + 1}/{steps}: loss {loss.item():.3f}", file=sys.stderr, flush=True)

    with torch.no_grad():
        digit, color, _ = reading_accuracy(*read(GlyphBank("held-out"), TEST_SCENES))
    print(f"vision: held-out patches read right: digit {digit:.1%}, color {color:.1%}", file=sys.stderr, flush=True)
