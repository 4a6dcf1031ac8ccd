"""Linear probes: can digit, colour and cell be read from every single visual row?"""

import torch
import torch.nn as nn
import torch.nn.functional as F

# The cell (0...8, reading order) that each of the 9x9 patches lies in.
PATCH_CELL = torch.arange(9).view(3, 3).repeat_interleave(3, 0).repeat_interleave(3, 1).reshape(-1)


class Probes(nn.Module):
    """One linear reader each for the digit, the colour and the cell of a patch."""

    def __init__(self, width):
        super().__init__()
        self.readers = nn.ModuleList([nn.Linear(width, classes) for classes in (10, 6, 9)])

    def forward(self, rows):
        """`rows`: `[batch, 81, width]`. Returns the three logits."""
        return [reader(rows) for reader in self.readers]


def patch_labels(digits, colors):
    """The three right answers for every patch, `[batch, 81]` each."""
    cell = PATCH_CELL.to(digits.device)
    return digits[:, cell], colors[:, cell], cell.expand(len(digits), -1)


def reading_losses(read, labels, smoothing=0.0):
    return [
        F.cross_entropy(logits.flatten(0, 1), label.flatten(), label_smoothing=smoothing)
        for logits, label in zip(read, labels)
    ]


def reading_accuracy(read, labels):
    return [(logits.argmax(-1) == label).float().mean().item() for logits, label in zip(read, labels)]
