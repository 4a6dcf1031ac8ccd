"""Training sequences: one image, then many questions that cannot see one another.

    [system][81 image rows][question 1][answer 1][question 2][answer 2] ...

Every question sees the prefix and itself, and its positions are those it would have alone, so sixteen questions cost one
image and each is trained as if it were the only one.
"""

from dataclasses import dataclass

import numpy
import torch

from .questions import ask
from .tokenizer import IMAGE_TOKEN

NO_LABEL = -100  # cross entropy's own marker
PADDING, PREFIX = -1, 0  # segments; questions count from 1


@dataclass
class PackedBatch:
    """All `[batch, length]`. The label of a position is the token that follows it."""

    ids: torch.Tensor
    segments: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
    question_digits: torch.Tensor  # value of a digit token inside a question, else -1

    def to(self, device):
        return PackedBatch(**{name: value.to(device) for name, value in vars(self).items()})

    def attention_mask(self):
        """`[batch, 1, length, length]`, true where a row may look: its own segment and the prefix, never ahead."""
        length = self.segments.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=self.segments.device).tril()
        rows, columns = self.segments[:, :, None], self.segments[:, None, :]
        return (((rows == columns) | ((columns == PREFIX) & (rows >= PREFIX))) & causal)[:, None]


def draw_questions(digits, colors, mixture, count, random):
    """Yields random (kind, question, answer) about one scene, kinds drawn with the weights of `mixture`.

    Three times `count` are drawn; kinds that the scene cannot be asked drop out, so the caller stops at `count`.
    """
    for kind in random.choices(list(mixture), list(mixture.values()), k=3 * count):
        asked = ask(digits, colors, kind, random)
        if asked is not None:
            yield kind, *asked


def pack(tokens, digits, colors, mixture, random, questions=16, length=272, image_rows=81):
    """Packs up to `questions` questions about each scene into `length` positions.

    `digits`, `colors`: `[batch, 9]`.
    """
    batch, prefix = len(digits), len(tokens.before_image) + image_rows
    ids = numpy.zeros((batch, length), numpy.int64)
    segments = numpy.full((batch, length), PADDING, numpy.int64)
    positions = numpy.zeros((batch, length), numpy.int64)
    labels = numpy.full((batch, length), NO_LABEL, numpy.int64)
    question_digits = numpy.full((batch, length), -1, numpy.int64)
    ids[:, :prefix] = tokens.before_image + [IMAGE_TOKEN] * image_rows
    segments[:, :prefix] = PREFIX
    positions[:, :prefix] = numpy.arange(prefix)
    for row in range(batch):
        start, segment = prefix, 1
        for _, question, answer in draw_questions(digits[row].tolist(), colors[row].tolist(), mixture, questions, random):
            asked, answered = tokens.question(question), tokens.answer(answer)
            end = start + len(asked) + len(answered)
            if end > length:
                continue
            ids[row, start:end] = asked + answered
            segments[row, start:end] = segment
            positions[row, start:end] = prefix + numpy.arange(end - start)
            labels[row, start + len(asked) - 1 : end - 1] = answered
            question_digits[row, start : start + len(asked)] = [tokens.digit_values.get(token, -1) for token in asked]
            start, segment = end, segment + 1
            if segment > questions:
                break
    return PackedBatch(*map(torch.from_numpy, (ids, segments, positions, labels, question_digits)))
