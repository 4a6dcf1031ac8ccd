"""What one training run is made of, and the schedule its stages share."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

# Steps of each stage at `--steps-scale 1`.
STEPS = {"vision": 1500, "projector": 300, "alignment": 300, "language": 2400}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out."""

    seed: int = 0
    steps_scale: float = 1.0
    auxiliary_losses: bool = True
    device: str = "cpu"

    def steps(self, stage):
        return max(2, round(STEPS[stage] * self.steps_scale))

    def stage_seed(self, stage):
        """Stages draw from separate sequences, so that changing one leaves the others' data alone."""
        return 1000 * self.seed + 1 + list(STEPS).index(stage)


def schedule(step, steps, warmup, constant_until):
    """Learning rate factor: linear warm-up, constant, then linear down to 2 % from `constant_until` (0...1) on."""
    done = step / steps
    decay = 1.0 if done < constant_until else max(0.02, (1 - done) / (1 - constant_until))
    return min(1.0, (step + 1) / warmup) * decay


def finished_stage(folder, stage, recipe):
    """The saved result of a stage, or None. A result of another recipe is refused rather than mixed in."""
    path = Path(folder) / f"{stage}.pt"
    if not path.exists():
        return None
    saved = torch.load(path, map_location="cpu")
    if saved["recipe"] != asdict(recipe):
        raise SystemExit(
            f"error: {path}: made with {json.dumps(saved['recipe'])}, this run is {json.dumps(asdict(recipe))}; "
            "choose another --out or delete it"
        )
    return saved


def save_stage(folder, stage, recipe, **states):
    """Written whole or not at all: a run that is cut off continues with the stage it was in."""
    path = Path(folder) / f"{stage}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"recipe": asdict(recipe), **states}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
