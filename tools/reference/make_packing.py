"""What packing costs, measured on the weights themselves: python make_packing.py [--only mha-tied|one-layer]

Writes Tests/Fixtures/expected/NAME-packing.json for two random models on Tests/Fixtures/calib-mini/imagefolder. Both are f32;
packed, every matrix is rounded to f16 but the query of decoder layer 0 (so that the engine keeps keys and values in f32).
Vectors and the table of positions stay as they are. (The engine rounds activations too for bf16, q8 and q4.)

Prompts, answers and answer positions are those of make_calibration.py; an answer that a sample lacks is the packed model's.
Per task and over all: the mean and the largest KL(P_packed || P_source), and the agreement. Nothing is withdrawn.
"""

import argparse
import json

from reference_model import ReferenceModel, kl_divergence

import torch

from fixture_cases import SYSTEM, vicuna
from make_calibration import ANSWER_POSITIONS, EXPECTED, ROOT, answer_ids, rounded


def packed_model(folder):
    reference = ReferenceModel(folder)
    kept = reference.text.layers[0].self_attn.q_proj.weight
    with torch.no_grad():
        for name, parameter in reference.model.named_parameters():
            if parameter.dim() > 1 and "position_embedding" not in name and parameter is not kept:
                parameter.copy_(parameter.half().float())
    return reference


def measure(source, packed, folder, record, has_system):
    """One sample -> KL and agreement at each answer position."""
    logits = []
    text = vicuna(record["question"])
    text = text if has_system else text.removeprefix(f"{SYSTEM} ")
    prompt = packed.prompt(text, [folder / record["file_name"]])
    ids = answer_ids(packed, prompt, record.get("answer"))
    positions = min(ANSWER_POSITIONS, len(ids))
    for model in (packed, source):
        logits.append(model.prefill(prompt, None, ids[: positions - 1]).logits[-positions:])
    return kl_divergence(*logits).clamp(min=0), logits[0].argmax(-1) == logits[1].argmax(-1)


def costs(samples):
    kl, agrees = (torch.cat(parts).double() for parts in zip(*samples))
    return {
        "positions": len(kl), "mean_kl": float(kl.mean()), "max_kl": float(kl.max()), "agreement": float(agrees.mean()),
    }


def compare(model_path, set_path, has_system):
    source, packed = ReferenceModel(ROOT / model_path), packed_model(ROOT / model_path)
    tasks, pooled = [], []
    for folder in sorted((ROOT / set_path).iterdir()):
        records = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
        samples = [measure(source, packed, folder, record, has_system) for record in records]
        tasks.append({"name": folder.name, "samples": len(samples)} | costs(samples))
        pooled += samples
    return rounded({"model": model_path, "set": set_path, "tasks": tasks, "pooled": costs(pooled)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # The chat template of the second begins with the user's turn.
    jobs = {
        "mha-tied": ("Tests/Fixtures/models/mha-tied", "Tests/Fixtures/calib-mini/imagefolder", True),
        "one-layer": ("Tests/Fixtures/models/one-layer", "Tests/Fixtures/calib-mini/imagefolder", False),
    }
    parser.add_argument("--only", choices=jobs)
    only = parser.parse_args().only
    torch.set_num_threads(1)
    for name, job in jobs.items():
        if only in (None, name):
            result = compare(*job)
            text = json.dumps(result).replace('{"name"', '\n{"name"').replace('"pooled"', '\n"pooled"')
            (EXPECTED / f"{name}-packing.json").write_text(text + "\n")
            print(f"{name}: {result['pooled']}")


if __name__ == "__main__":
    main()
