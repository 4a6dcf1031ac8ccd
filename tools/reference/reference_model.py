"""LLaVA with visual token withdrawal, written out by hand over the modules of Hugging Face transformers, in f32.

    pixels ──vision tower──▶ features ──projector──▶ projected ─┐
    prompt ──tokenizer─────▶ ids, image mark repeated ──────────┴▶ rows
    rows ──layers 0..<K──▶ all rows ──drop the visual ones──▶ text rows ──layers K..<N──▶ norm ──▶ logits

Conventions (the engine copies them exactly):
- withdrawal at K: the hidden states of visual rows are dropped at the *entry* of layer K. K = N never drops
  (the plain model), K = 0 drops before the first layer, so the image is not seen at all;
- what is visual is a mask over rows, so any number of images may stand anywhere in the prompt;
- text rows keep the position ids that they had in the full sequence;
- layer l caches keys and values of the rows that it saw, so layers >= K hold text rows only;
- a decode step is one text row at the full sequence's next position, in every layer;
- rows may freeze first: in layers [a, b) visual rows give keys and values from the hidden state that entered layer a, by
  that layer's norm and projections and their own position, but stay as they are; b = K then withdraws them. Layers of
  a list freeze the same way, each visual row keeping the state of the last layer that updated it.

Attention is plain: scores, softmax and the weighted sum in f32, one sequence at a time.
"""

import json
import os
import pathlib
from dataclasses import dataclass, field

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from PIL import Image, ImageOps
import transformers.models.llava_next.modeling_llava_next as next_model
from transformers import (
    AutoTokenizer, CLIPImageProcessorPil, LlavaForConditionalGeneration, LlavaNextForConditionalGeneration,
    LlavaOnevisionForConditionalGeneration,
)
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

# By model_type: the model and its image processor, the Pillow one.
FAMILIES = {
    "llava": (LlavaForConditionalGeneration, CLIPImageProcessorPil),
    "llava_next": (LlavaNextForConditionalGeneration, LlavaNextImageProcessorPil),
    "llava_onevision": (LlavaOnevisionForConditionalGeneration, LlavaOnevisionImageProcessorPil),
}

# Row classes as the trace names them.
SYSTEM, USER, GENERATED, VISUAL = 0, 1, 2, 3


@dataclass
class Prompt:
    """What enters the decoder: one entry per row, the image token repeated once per visual row."""

    text: str
    pixels: torch.Tensor | None  # [tiles of all images, 3, height, width]
    inputs: dict  # what the model's own forward pass takes beside ids
    ids: torch.Tensor  # [rows]
    visual: torch.Tensor  # [rows], true on visual rows

    def row_class(self):
        """0 for text before the first image, 1 for text after it, 3 for visual rows; without an image all are 1."""
        after_image = (self.visual.int().cumsum(0) > 0) | ~self.visual.any()
        classes = torch.where(after_image, USER, SYSTEM)
        return torch.where(self.visual, VISUAL, classes).to(torch.uint8)


@dataclass
class Pass:
    """One prefill: what left each step, and the cache that decoding goes on with."""

    features: torch.Tensor | None = None  # [rows of all tiles, vision width x feature layers]
    projected: torch.Tensor | None = None  # [visual rows, width]
    hidden: list = field(default_factory=list)  # N + 1 times [rows of that layer, width]
    final_norm: torch.Tensor | None = None  # [text rows (K < N) or all rows, width]
    logits: torch.Tensor | None = None  # [the same rows, vocabulary]
    cache: list = field(default_factory=list)  # per layer (keys, values), each [kv heads, rows, head size]
    attention: list = field(default_factory=list)  # per layer probabilities [heads, rows, rows that they see]
    next_position: int = 0


class ReferenceModel:
    """A checkpoint folder, its tokenizer and its image steps."""

    def __init__(self, folder):
        kind = json.loads((pathlib.Path(folder) / "config.json").read_text())["model_type"]
        model, image_processor = FAMILIES[kind]
        self.model = model.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.image_processor = image_processor.from_pretrained(folder)
        self.config = self.model.config
        self.text = self.model.model.language_model
        self.layer_count = len(self.text.layers)
        self.image_token = self.config.image_token_id

    # From prompt and images to rows

    @property
    def is_tiled(self):
        return self.config.model_type != "llava"

    @property
    def rows_per_image(self):
        """Of one tile. Patches per side are floored: pixels that fill no whole patch are not read. CLIP's `full` keeps
        the class row."""
        vision = self.config.vision_config
        patches = (vision.image_size // vision.patch_size) ** 2
        return patches + (not self.is_tiled and self.config.vision_feature_select_strategy == "full")

    def image_inputs(self, images):
        """`images`, of one prompt: paths or PIL images -> what the model takes, by the checkpoint's own rule."""
        opened = [open_rgb(image) if not isinstance(image, Image.Image) else image for image in images]
        # As a chat template's processor hands them over: a list for each conversation.
        nested = [opened] if self.config.model_type == "llava_onevision" else opened
        inputs = self.image_processor(images=nested, return_tensors="pt")
        inputs["pixel_values"] = inputs["pixel_values"].float()
        return dict(inputs)

    def tiles(self, inputs):
        """-> f32 [tiles, 3, height, width]: the tiles of each image without those that fill up the batch."""
        if not self.is_tiled:
            return inputs["pixel_values"]
        several = len(inputs["image_sizes"]) > 1 and self.config.model_type == "llava_onevision"
        counts = [
            1 if several else next_model.image_size_to_num_patches(
                size, self.config.image_grid_pinpoints, self.config.vision_config.image_size)
            for size in inputs["image_sizes"]
        ]
        return torch.cat([pixels[:count] for pixels, count in zip(inputs["pixel_values"], counts)])

    def prompt(self, text, images=()):
        """`text` holds one `<image>` mark per image. The tokenizer adds the beginning-of-sequence token, if it has one."""
        marked = torch.tensor(self.tokenizer(text)["input_ids"])
        marks = marked == self.image_token
        if int(marks.sum()) != len(images):
            raise ValueError(f"{int(marks.sum())} image marks in the prompt, {len(images)} images")
        if not images:
            return Prompt(text, None, {}, marked, marks)
        inputs = self.image_inputs(images)
        counts = torch.ones_like(marked)
        counts[marks] = torch.tensor([len(rows) for rows in self.rows(inputs)])
        ids = marked.repeat_interleave(counts)
        return Prompt(text, self.tiles(inputs), inputs, ids, ids == self.image_token)

    # Vision

    @torch.no_grad()
    def rows(self, inputs):
        """-> for each image [its visual rows, width], as the model's own code arranges them."""
        if self.is_tiled:
            return self.model.model.get_image_features(**inputs).pooler_output
        _, projected = self.encode(inputs["pixel_values"])
        return projected.split(self.rows_per_image)

    @torch.no_grad()
    def encode(self, tiles):
        """-> features [rows of all tiles, vision width x feature layers], projected [the same rows, width]; in order."""
        states = self.model.model.vision_tower(tiles, output_hidden_states=True).hidden_states
        layers = self.config.vision_feature_layer
        layers = [layers] if isinstance(layers, int) else list(layers)
        first = 1 if self.config.vision_feature_select_strategy == "default" else 0  # `default` drops the class row
        features = torch.cat([states[layer][:, first:] for layer in layers], dim=-1).flatten(0, 1)
        return features, self.model.model.multi_modal_projector(features)

    # Decoder

    @torch.no_grad()
    def prefill(self, prompt, withdrawal_layer=None, answer_ids=(), frozen=()):
        """Runs the prompt, then `answer_ids` (teacher forcing) as further text rows of the same pass. `frozen` are the
        layers that do not update visual rows."""
        n = self.layer_count
        k = n if withdrawal_layer is None else withdrawal_layer
        answer = torch.tensor(list(answer_ids), dtype=prompt.ids.dtype)
        ids = torch.cat([prompt.ids, answer])
        visual = torch.cat([prompt.visual, torch.zeros(len(answer), dtype=torch.bool)])

        run = Pass(cache=[None] * n, next_position=len(ids))
        x = self.text.embed_tokens(ids)
        if prompt.pixels is not None:
            run.features, _ = self.encode(prompt.pixels)
            run.projected = torch.cat(list(self.rows(prompt.inputs)))
            x[visual] = run.projected
        positions = torch.arange(len(ids))

        for index in range(n):
            if index == k:
                x, positions = x[~visual], positions[~visual]
            run.hidden.append(x)
            updated = self._layer(index, x, positions, run.cache, run.attention)
            stays = visual if index in frozen and index < k else torch.zeros_like(visual)
            x = torch.where(stays[: len(x), None], x, updated)
        run.hidden.append(x)
        return self._finish(run, x)

    @torch.no_grad()
    def step(self, run, token):
        """One decode step -> logits [vocabulary]; extends the cache of `run`."""
        x = self.text.embed_tokens(torch.tensor([token]))
        positions = torch.tensor([run.next_position])
        for index in range(self.layer_count):
            x = self._layer(index, x, positions, run.cache)
        run.next_position += 1
        return self.model.lm_head(self.text.norm(x))[0]

    def generate(self, run, count):
        """`count` greedy ids, never stopping at an end token, and the logits each was taken from [count, vocabulary]."""
        logits, ids, seen = run.logits[-1], [], []
        while len(ids) < count:
            ids.append(int(logits.argmax()))
            seen.append(logits)
            if len(ids) < count:
                logits = self.step(run, ids[-1])
        return ids, torch.stack(seen)

    def _layer(self, index, x, positions, cache, seen=None):
        """x [rows, width] -> the same shape. Appends this layer's keys and values to `cache[index]`, and to `seen` the
        probabilities of its attention."""
        layer = self.text.layers[index]
        x = x + self._attention(layer.self_attn, layer.input_layernorm(x), positions, cache, index, seen)
        return x + layer.mlp(layer.post_attention_layernorm(x))

    def _attention(self, attention, x, positions, cache, index, seen):
        size = attention.head_dim
        heads = lambda y: y.view(len(x), -1, size).transpose(0, 1)  # [heads, rows, head size]
        q, k, v = heads(attention.q_proj(x)), heads(attention.k_proj(x)), heads(attention.v_proj(x))
        cosine, sine = self.text.rotary_emb(v, positions[None])
        q, k = (y[0] for y in apply_rotary_pos_emb(q[None], k[None], cosine, sine))
        if cache[index] is not None:
            k, v = torch.cat([cache[index][0], k], 1), torch.cat([cache[index][1], v], 1)
        cache[index] = (k, v)

        group = len(q) // len(k)  # query heads that share one key/value head
        k, v = k.repeat_interleave(group, 0), v.repeat_interleave(group, 0)
        scores = q @ k.transpose(1, 2) * attention.scaling
        # Row i of the new rows may see every cached row and the new rows up to itself.
        cached = k.shape[1] - len(x)
        scores = scores + torch.full((len(x), k.shape[1]), float("-inf")).triu(cached + 1)
        probabilities = scores.softmax(-1)
        if seen is not None:
            seen.append(probabilities)
        mixed = probabilities @ v
        return attention.o_proj(mixed.transpose(0, 1).reshape(len(x), -1))

    def _finish(self, run, x):
        run.final_norm = self.text.norm(x)
        run.logits = self.model.lm_head(run.final_norm)
        return run

    # Sweep

    def sweep(self, prompt, answer_ids, positions):
        """Logits at the first `positions` answer positions for every K in 0...N, by brute force.

        Position 0 is the prompt's last row (it predicts the first answer token), position p the row of
        answer token p - 1. -> [N + 1, positions, vocabulary]
        """
        fed = list(answer_ids)[: positions - 1]
        runs = (self.prefill(prompt, k, fed) for k in range(self.layer_count + 1))
        return torch.stack([run.logits[-positions:] for run in runs])


def open_rgb(path):
    """Decodes an image as every script here does: EXIF orientation applied, alpha dropped, 8-bit RGB."""
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def kl_divergence(withdrawn, full):
    """KL(P_withdrawn || P_full) in nats over the last axis: f32 logits, summed in f64."""
    p, q = withdrawn.double().log_softmax(-1), full.double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)
