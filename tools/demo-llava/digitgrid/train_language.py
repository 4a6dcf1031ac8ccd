"""Stage 3: the language model learns to answer. The vision tower joins in for the second half.

Two auxiliary losses decide *where* in the depth the image is used up, and are on unless the recipe says otherwise:

- the answer must be readable, through the final norm and the output head, from the input of layer 6 as well;
- the digit named in a question must tell, at the input of layer 4, which of the nine cells hold it.

They are why this model stops needing its image rows at layer 6. See the README's first caveat before quoting that.
"""

import random
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

from .glyphs import GlyphBank
from .model import (
    IMAGE_ROWS,
    TEXT_WIDTH,
    decode,
    logits,
    matrices,
    other_vision_parameters,
    project,
    rotation_tables,
    vision_features,
    vision_layers,
)
from .muon import Muon
from .packing import NO_LABEL, pack
from .questions import TYPES
from .recipe import schedule
from .scenes import draw_scenes, normalize
from .tokenizer import EOS
from .train_vision import GLYPH_VIEWS

BATCH, TEST_SCENES, TEST_QUESTIONS = 12, 20, 8
ANSWER_LAYER, ANSWER_WEIGHT = 6, 0.5
SEARCH_LAYER, SEARCH_WEIGHT = 4, 2.0
VISION_FROM = 0.5  # part of the steps after which the vision tower is trained too

# How often each question type is asked. The hard ones more often.
MIXTURE = {
    "pos_digit": 0.5,
    "pos_color": 0.4,
    "digit_color": 1.2,
    "digit_pos": 1.5,
    "count_color": 1.4,
    "exist": 1.2,
    "row": 0.6,
    "all": 0.4,
    "neighbor": 1.8,
    "max_row": 0.5,
    "row_color": 0.5,
}


def train_language(model, tokens, recipe):
    """Trains everything in place. Returns held-out accuracy (0...1) by question type."""
    steps, device, seed = recipe.steps("language"), recipe.device, recipe.stage_seed("language")
    scene_draws, question_draws = torch.Generator().manual_seed(seed), random.Random(seed)
    bank = GlyphBank("training", views=GLYPH_VIEWS)
    tables = rotation_tables(device)

    text, projector = model.model.language_model, model.model.multi_modal_projector
    text_matrices = matrices(text.layers)
    matrix_ids = {id(parameter) for parameter in text_matrices}
    text_others = [p for p in [*text.parameters(), *model.lm_head.parameters()] if id(p) not in matrix_ids]
    optimizer = Muon(
        text_matrices,
        [{"params": text_others}, {"params": list(projector.parameters()), "rate": 0.2}],
        learning_rate=0.02,
        adam_learning_rate=2e-3,
    )
    vision_optimizer = Muon(
        matrices(vision_layers(model)),
        other_vision_parameters(model),
        learning_rate=0.002,
        adam_learning_rate=1e-4,
    )
    search = nn.Linear(TEXT_WIDTH, 9).to(device)  # training only: never exported
    search_optimizer = torch.optim.AdamW(search.parameters(), lr=2e-3)

    for step in range(steps):
        train_vision = step >= VISION_FROM * steps
        images, digits, colors = draw_scenes(bank, BATCH, scene_draws)
        batch = pack(tokens, digits, colors, MIXTURE, question_draws).to(device)
        inputs = forward(model, images.to(device), batch, tables, train_vision)

        answered = batch.labels != NO_LABEL
        labels = batch.labels[answered]
        answer_loss = F.cross_entropy(logits(model, inputs[-1][answered]), labels)
        loss = answer_loss
        if recipe.auxiliary_losses:
            early = F.cross_entropy(logits(model, inputs[ANSWER_LAYER][answered]), labels)
            found = search_loss(search, inputs[SEARCH_LAYER], batch.question_digits, digits.to(device))
            loss = loss + ANSWER_WEIGHT * early + SEARCH_WEIGHT * found

        optimizer.zero_grad()
        vision_optimizer.zero_grad()
        search_optimizer.zero_grad()
        loss.backward()
        rate = schedule(step, steps, warmup=30, constant_until=0.5)
        optimizer.step(rate)
        search_optimizer.step()
        if train_vision:
            vision_optimizer.step(rate)
        if (step + 1) % 50 == 0 or step + 1 == steps:
            print(f"language {step + 1}/{steps}: answer loss {answer_loss.item():.3f}", file=sys.stderr, flush=True)

    return held_out_accuracy(model, tokens, device)


def forward(model, images, batch, tables, train_vision=False):
    """The inputs of every decoder layer for a packed batch; see `decode`."""
    with torch.set_grad_enabled(train_vision and torch.is_grad_enabled()):
        features = vision_features(model, normalize(images))
    embedded = model.model.language_model.embed_tokens(batch.ids)
    first = int((batch.ids[0] == model.config.image_token_index).nonzero()[0])
    rows = project(model, features)
    x = torch.cat([embedded[:, :first], rows, embedded[:, first + IMAGE_ROWS :]], 1)
    return decode(model, x, batch.positions, batch.attention_mask(), tables)


def search_loss(search, x, question_digits, digits):
    """Does a question's digit token know its cells? `x`: `[batch, length, 192]`; `digits`: `[batch, 9]`."""
    asked = question_digits >= 0
    if not asked.any():
        return 0.0 * x.sum()
    holds = (digits[asked.nonzero()[:, 0]] == question_digits[asked][:, None]).float()
    return F.binary_cross_entropy_with_logits(search(F.rms_norm(x[asked], (TEXT_WIDTH,))), holds)


@torch.no_grad()
def held_out_accuracy(model, tokens, device):
    """The part of answers whose every token is the most likely one, by question type, on held-out glyphs."""
    bank, tables, accuracy = GlyphBank("held-out"), rotation_tables(device), {}
    for kind in TYPES:
        images, digits, colors = draw_scenes(bank, TEST_SCENES, torch.Generator().manual_seed(77))
        batch = pack(tokens, digits, colors, {kind: 1}, random.Random(7), questions=TEST_QUESTIONS).to(device)
        answered = batch.labels != NO_LABEL
        labels = batch.labels[answered]
        right = logits(model, forward(model, images.to(device), batch, tables)[-1][answered]).argmax(-1) == labels
        ends = (labels == EOS).nonzero().flatten().tolist()  # every answer ends with the end token
        starts = [0] + [end + 1 for end in ends[:-1]]
        accuracy[kind] = sum(right[start : end + 1].all().item() for start, end in zip(starts, ends)) / len(ends)
    return accuracy
