"""`train`: from 5,000 MNIST digits to a folder that Hugging Face loads, with its calibration and held-out questions."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from .export import export
from .model import VISION_WIDTH, make_model
from .probes import Probes
from .question_sets import write_sets
from .recipe import Recipe, finished_stage, save_stage
from .tokenizer import PromptTokens, write_tokenizer
from .train_language import train_language
from .train_projector import train_projector
from .train_vision import train_vision

# The shipped calib/ and heldout/ are these, whatever a model's seed: what changes is the model, not what it is asked.
CALIBRATION = {"glyphs": "training", "seed": 11, "per_task": 12}
HELD_OUT = {"glyphs": "held-out", "seed": 12, "per_task": 16}


def train(out, recipe):
    """Runs every stage that `out` does not hold yet."""
    out = Path(out)
    (out / "model").mkdir(parents=True, exist_ok=True)
    write_tokenizer(out / "model")
    write_sets(out / "calib", **CALIBRATION)
    write_sets(out / "heldout", **HELD_OUT)

    model = make_model(recipe.seed).to(recipe.device)
    vision_probes = Probes(VISION_WIDTH).to(recipe.device)
    tokens = PromptTokens(out / "model")

    def stage(name, run):
        """Runs one stage, or takes it from an earlier run. Its own seed makes both the same."""
        if saved := finished_stage(out / "stages", name, recipe):
            model.load_state_dict(saved["model"])
            vision_probes.load_state_dict(saved["vision_probes"])
            return saved["result"]
        torch.manual_seed(recipe.stage_seed(name))
        result = run()
        states = {"model": model.state_dict(), "vision_probes": vision_probes.state_dict()}
        save_stage(out / "stages", name, recipe, **states, result=result)
        return result

    stage("vision", lambda: train_vision(model, vision_probes, recipe))
    stage("projector", lambda: train_projector(model, vision_probes, recipe))
    accuracy = stage("language", lambda: train_language(model, tokens, recipe))

    export(model, out / "model")
    report = {"recipe": asdict(recipe), "torch": torch.__version__, "held_out_accuracy": accuracy}
    (out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    for kind, value in accuracy.items():
        print(f"{kind:12s} {value:6.1%}")
    print(f"{out / 'model'}: mean {sum(accuracy.values()) / len(accuracy):.1%} over {len(accuracy)} question types")
