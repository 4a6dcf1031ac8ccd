"""Stage 2: the projector carries digit, colour and cell into the language model's width, with a margin for each.

First the projector alone, then vision tower and projector together. Noise on the normalised projected rows is what makes
the margin: without it the loudest attribute takes nearly all of a row and the language model learns only that one.
"""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

from .glyphs import GlyphBank
from .model import TEXT_WIDTH, VISION_WIDTH, matrices, other_vision_parameters, project, vision_features, vision_layers
from .muon import Muon
from .probes import Probes, patch_labels, reading_accuracy, reading_losses
from .recipe import schedule
from .scenes import draw_scenes, normalize
from .train_vision import GLYPH_VIEWS

BATCH, TEST_SCENES = 24, 100
NOISE = 0.7  # against rows of root mean square 1
MEAN_SQUARE = 0.25  # of a projected row: near a token embedding's size


def train_projector(model, vision_probes, recipe):
    """Trains projector and vision tower in place."""
    device = recipe.device
    draws = torch.Generator().manual_seed(recipe.stage_seed("projector"))
    bank = GlyphBank("training", views=GLYPH_VIEWS)

    def scenes(bank, count):
        images, digits, colors = (value.to(device) for value in draw_scenes(bank, count, draws))
        return normalize(images), patch_labels(digits, colors)

    def noisy(rows):
        rows = F.rms_norm(rows, (TEXT_WIDTH,))
        return rows + NOISE * torch.randn(rows.shape, generator=draws).to(device)

    def size_penalty(rows):
        return 1e-2 * (rows.pow(2).mean() - MEAN_SQUARE).pow(2)

    start_projector(model, scenes(bank, 32)[0], draws)
    projector = list(model.model.multi_modal_projector.parameters())

    # The projector alone, on features that stand still.
    probes = Probes(TEXT_WIDTH).to(device)
    optimizer = torch.optim.AdamW(projector + list(probes.parameters()), lr=2e-3, weight_decay=0.01)
    steps = recipe.steps("projector")
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        pixels, labels = scenes(bank, BATCH)
        with torch.no_grad():
            features = vision_features(model, pixels)
        rows = project(model, features)
        loss = sum(reading_losses(probes(noisy(rows)), labels)) + size_penalty(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            print(f"projector {step + 1}/{steps}: loss {loss.item():.3f}", file=sys.stderr, flush=True)

    # Both together: vision features must now also say where they are. The readers of the projected rows start anew.
    probes = Probes(TEXT_WIDTH).to(device)
    nn.init.normal_(vision_probes.readers[2].weight, std=0.02)
    optimizer = Muon(
        matrices(vision_layers(model)),
        [*other_vision_parameters(model), *projector, *probes.parameters(), *vision_probes.parameters()],
        learning_rate=0.006,
        adam_learning_rate=2e-3,
    )
    steps = recipe.steps("alignment")
    for step in range(steps):
        pixels, labels = scenes(bank, BATCH)
        features = vision_features(model, pixels)
        rows = project(model, features)
        seen = sum(reading_losses(vision_probes(features), labels, smoothing=0.03))
        carried = sum(reading_losses(probes(noisy(rows)), labels))
        loss = seen + carried + size_penalty(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(schedule(step, steps, warmup=20, constant_until=0.0))
        if (step + 1) % 50 == 0 or step + 1 == steps:
            print(f"alignment {step + 1}/{steps}: loss {loss.item():.3f}", file=sys.stderr, flush=True)

    with torch.no_grad():
        pixels, labels = scenes(GlyphBank("held-out"), TEST_SCENES)
        rows = project(model, vision_features(model, pixels))
        digit, color, cell = reading_accuracy(probes(noisy(rows)), labels)
    print(
        f"projector: held-out rows read right through noise: digit {digit:.1%}, color {color:.1%}, cell {cell:.1%}",
        file=sys.stderr,
        flush=True,
    )


@torch.no_grad()
def start_projector(model, pixels, draws):
    """Random weights, scaled to the features' real mean and spread so that the GELU's inputs are centred."""
    features = vision_features(model, pixels).reshape(-1, VISION_WIDTH)
    mean = features.mean(0)
    spread = (features - mean).pow(2).mean().sqrt()
    first, second = model.model.multi_modal_projector.linear_1, model.model.multi_modal_projector.linear_2
    first.weight.copy_(torch.randn(first.weight.shape, generator=draws) / (VISION_WIDTH**0.5 * spread.cpu()))
    first.bias.copy_(-first.weight @ mean)
    second.weight.copy_(torch.randn(second.weight.shape, generator=draws) * 0.7 / TEXT_WIDTH**0.5)
    second.bias.zero_()
