"""How do the answers change when the image's rows leave at layer K? Every K from 0 to 12, in f32.

One walk over the layers serves all K: the full pass goes on as it is, and at every layer a new branch starts as a copy
of its text rows. Branches keep their positions (the gap where the image was stays) and never see the image again.
"""

import json
import random
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
import transformers
from PIL import Image
from transformers import CLIPImageProcessorPil, LlavaForConditionalGeneration

from .glyphs import GlyphBank
from .model import IMAGE_ROWS, TEXT_LAYERS, TEXT_WIDTH, logits, project, rotation_tables, text_layer, vision_features
from .packing import draw_questions
from .questions import TYPES
from .scenes import draw_scenes, normalize
from .tokenizer import PromptTokens

ANSWER_POSITIONS = 8  # of a sample on disk: the last prompt row and up to seven answer rows
# Short answers are asked twice of a scene, to have more of them.
ASKED_ONCE = {"all", "row", "row_color", "max_row"}
SCENE_SEED = 70_000


@dataclass
class Outcome:
    """What one sample gives, by K: `TEXT_LAYERS + 1` rows each, the last one being the full model."""

    divergence: torch.Tensor  # KL(withdrawn || full) in nats, [K, positions]
    agrees: torch.Tensor  # is the most likely token the full model's? [K, positions]
    right: torch.Tensor  # is every token of the answer the most likely one? [K]; none of a cut answer


@torch.no_grad()
def outcome(model, rows, asked, answered, tables):
    """`rows`: the projected image `[81, 192]`; `asked`: ids before and after the image; `answered`: ids with the end."""
    text, (before, after) = model.model.language_model, asked
    ids = torch.tensor(before + after + answered[:-1])
    embedded = text.embed_tokens(ids)
    full = torch.cat([embedded[: len(before)], rows, embedded[len(before) :]])[None]  # (1, t + 81, 192)
    positions = torch.arange(full.shape[1])
    is_text = torch.ones(len(positions), dtype=torch.bool)
    is_text[len(before) : len(before) + IMAGE_ROWS] = False

    def tables_and_mask(positions):
        cosine, sine = (table[positions][None, None] for table in tables)
        ahead = torch.full((len(positions), len(positions)), float("-inf")).triu(1)
        return ahead[None, None], cosine, sine

    full_view, text_view = tables_and_mask(positions), tables_and_mask(positions[is_text])
    branches = torch.empty(0, int(is_text.sum()), TEXT_WIDTH)  # (branches begun, t, 192)
    for layer in text.layers:
        branches = torch.cat([branches, full[:, is_text]])
        branches = text_layer(layer, text.config, branches, *text_view)
        full = text_layer(layer, text.config, full, *full_view)
    branches = torch.cat([branches, full[:, is_text]])

    last = logits(model, branches[:, -len(answered) :])  # (13, answer positions, vocabulary)
    log_p = last.double().log_softmax(-1)
    chosen = last.argmax(-1)
    return Outcome(
        divergence=(log_p.exp() * (log_p - log_p[-1])).sum(-1),
        agrees=chosen == chosen[-1],
        right=(chosen == torch.tensor(answered)).all(-1),
    )


def load(folder):
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    if len(model.model.language_model.layers) != TEXT_LAYERS:
        raise SystemExit(f"error: {folder}: not a DigitGrid model; its decoder has no {TEXT_LAYERS} layers")
    return model, PromptTokens(folder)


@torch.no_grad()
def sweep_scenes(folder, count):
    """New scenes with held-out glyphs, `count` for each question type. Prints the README's first table and its parts."""
    model, tokens = load(folder)
    tables, bank = rotation_tables("cpu"), GlyphBank("held-out")
    accuracy, first, every = {}, {}, {}
    for index, kind in enumerate(TYPES):
        seed = SCENE_SEED + index
        images, digits, colors = draw_scenes(bank, count, torch.Generator().manual_seed(seed))
        question_draws, outcomes = random.Random(seed), []
        for scene in range(count):
            rows = project(model, vision_features(model, normalize(images[scene : scene + 1])))[0]
            wanted = 1 if kind in ASKED_ONCE else 2
            drawn = draw_questions(digits[scene].tolist(), colors[scene].tolist(), {kind: 1}, wanted, question_draws)
            for _, question, answer in islice(drawn, wanted):
                asked = tokens.before_image, tokens.question(question)
                outcomes.append(outcome(model, rows, asked, tokens.answer(answer), tables))
        accuracy[kind] = torch.stack([o.right.double() for o in outcomes]).mean(0)
        first[kind] = torch.stack([o.divergence[:, 0] for o in outcomes]).mean(0)
        every[kind] = torch.cat([o.divergence for o in outcomes], 1).mean(1)

    def mean(by_kind):
        return torch.stack(list(by_kind.values())).mean(0)

    print_row("K", range(TEXT_LAYERS + 1), "d")
    print_row("KL, first answer token", mean(first), ".4f")
    print_row("KL, all answer tokens", mean(every), ".4f")
    print_row("mean accuracy, %", 100 * mean(accuracy), ".1f")
    print_row("FLOPs saved in prefill, %", [100 * saved(withdrawal) for withdrawal in range(TEXT_LAYERS + 1)], ".0f")
    for kind in TYPES:
        print_row(f"accuracy {kind}, %", 100 * accuracy[kind], ".1f")


@torch.no_grad()
def sweep_sets(folder, sets):
    """Question sets on disk: divergence and agreement by task, each pooled over answer positions."""
    model, tokens = load(folder)
    tables, processor = rotation_tables("cpu"), CLIPImageProcessorPil.from_pretrained(folder)
    metadata = sorted(Path(sets).glob("*/metadata.jsonl"))
    if not metadata:
        raise SystemExit(f"error: {sets}: no */metadata.jsonl in it; it should hold one folder for each task")
    print_row("K", range(TEXT_LAYERS + 1), "d")
    for path in metadata:
        outcomes = []
        for sample in map(json.loads, path.read_text().splitlines()):
            image = Image.open(path.parent / sample["file_name"]).convert("RGB")
            pixels = processor(images=image, return_tensors="pt")["pixel_values"]
            rows = project(model, vision_features(model, pixels))[0]
            asked = tokens.before_image, tokens.question(sample["question"])
            outcomes.append(outcome(model, rows, asked, tokens.answer(sample["answer"]), tables))
        pooled = torch.cat([o.divergence[:, :ANSWER_POSITIONS] for o in outcomes], 1).mean(1)
        agreement = torch.cat([o.agrees[:, :ANSWER_POSITIONS] for o in outcomes], 1).double().mean(1)
        task = path.parent.name
        print_row(f"{task}: KL", pooled, ".4f")
        print_row(f"{task}: KL, first token", torch.stack([o.divergence[:, 0] for o in outcomes]).mean(0), ".4f")
        print_row(f"{task}: agreement, %", 100 * agreement, ".1f")
        print_row(f"{task}: accuracy, %", 100 * torch.stack([o.right.double() for o in outcomes]).mean(0), ".1f")


def saved(withdrawal, text=29, feed_forward=512):
    """Part of the decoder's prefill FLOPs that leaving at layer `withdrawal` saves, for a prompt of `text` text rows."""

    def layer(rows):  # projections and feed-forward, then causal scores and their mixing
        return rows * (8 * TEXT_WIDTH**2 + 6 * TEXT_WIDTH * feed_forward) + 2 * rows**2 * TEXT_WIDTH

    every = TEXT_LAYERS * layer(text + IMAGE_ROWS)
    return 1 - (withdrawal * layer(text + IMAGE_ROWS) + (TEXT_LAYERS - withdrawal) * layer(text)) / every


def print_row(name, values, form):
    """One line of a Markdown table."""
    cells = [format(value.item() if hasattr(value, "item") else value, form) for value in values]
    print(f"| {name} | " + " | ".join(cells) + " |")
