"""Calibrates by brute force what the engine calibrates by one sweep: python make_calibration.py [--only demo|mini|next]

Writes Tests/Fixtures/expected/demo-calibration.json (tools/demo-llava, 72 samples), and mini-calibration.json and
next-calibration.json (the random models `gqa` and `next-vicuna` on Tests/Fixtures/calib-mini/imagefolder).

The convention, which the engine copies exactly
- Prompt: `A chat between a curious user and an AI assistant. USER: <image>\\n{question} ASSISTANT:`, which is what the
  chat template of all models makes of one image and one question.
- Own answer: the ids that the tokenizer gives `prompt + " " + answer` beyond the ids of `prompt`, then the end token.
  (The ids of `prompt` are a prefix there; the script stops if they were not.)
- Without an answer: the full model's greedy ids, at most 8, ending with the end token if it comes.
- Answer positions: the first min(8, answer ids, end token included). Position 0 is the prompt's last row, position p
  the row of answer id p-1, fed by teacher forcing as a text row of the same pass. So an answer of 3 ids + end token
  has 4 positions, and the end token is predicted but never fed.
- Per position and K = 0...N: KL(P_withdrawn || P_full) in nats over the whole vocabulary (padding rows as well), f32 logits
  summed in f64; agreement = both argmax are the same id. K = N gives 0 and 1 by definition.
- Per task: mean, p95 (nearest rank: sorted value number ceil(0.95 n), counting from 1) and max over all its answer
  positions, every position weighing the same whatever its sample; agreement = agreeing / positions.
- Pooled first token: mean over all samples of all tasks of position 0.
- Paper K: the first K in 5..<N whose pooled first-token mean is <= 0.003, else N. Not sustained, no agreement asked.
- Default K: the smallest K such that every K' in K..<N passes: for every task mean <= 0.01 and agreement >= 0.98.
- eta table: the default rule with another bound for the mean; `k_mean_only` leaves agreement out.
All samples are used: nothing is held out. Tasks in name order, samples in the order of metadata.jsonl.
"""

import argparse
import json
import math
import pathlib

from reference_model import ReferenceModel, kl_divergence

import torch

from fixture_cases import vicuna

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPECTED = ROOT / "Tests" / "Fixtures" / "expected"
ANSWER_POSITIONS = 8
PAPER_ETA, PAPER_FIRST_LAYER = 0.003, 5
DEFAULT_ETA, DEFAULT_AGREEMENT = 0.01, 0.98
ETAS = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]


def answer_ids(reference, prompt, answer):
    """-> ids of the sample's own answer with the end token, or of the full model's."""
    end = reference.config.text_config.eos_token_id
    if answer is None:
        ids, _ = reference.generate(reference.prefill(prompt), ANSWER_POSITIONS)
        return ids[: ids.index(end) + 1] if end in ids else ids
    before = reference.tokenizer(prompt.text)["input_ids"]
    both = reference.tokenizer(f"{prompt.text} {answer}")["input_ids"]
    if both[: len(before)] != before:
        raise SystemExit(f"the answer {answer!r} changes the ids of its prompt")
    return both[len(before) :] + [end]


def relative_lead(logits):
    """How safely the argmaxes stand: the least lead of a best logit over the second, as a share of the range."""
    best = logits.topk(2).values
    return float(((best[:, 0] - best[:, 1]) / (logits.max(1).values - logits.min(1).values)).min())


def measure(reference, folder, record):
    """One sample -> prompt, ids, and per K the KL and the agreement at each answer position."""
    text = vicuna(record["question"])
    prompt = reference.prompt(text, [folder / record["file_name"]])
    ids = answer_ids(reference, prompt, record.get("answer"))
    positions = min(ANSWER_POSITIONS, len(ids))
    logits = reference.sweep(prompt, ids, positions)
    full = logits[-1:]
    return {
        "file_name": record["file_name"], "prompt": text, "answer": record.get("answer"), "answer_ids": ids,
        "positions": positions, "kl": kl_divergence(logits, full).clamp(min=0).tolist(),
        "lead": relative_lead(logits.flatten(0, 1)), "agree": (logits.argmax(-1) == full.argmax(-1)).int().tolist(),
    }


def curve(samples, layers):
    """Statistics over all answer positions of a task, one entry per K in 0...N."""
    rows = []
    for k in range(layers + 1):
        kl = sorted(value for sample in samples for value in sample["kl"][k])
        agreeing = sum(sum(sample["agree"][k]) for sample in samples)
        rows.append({
            "k": k, "mean_kl": math.fsum(kl) / len(kl), "p95_kl": kl[math.ceil(0.95 * len(kl)) - 1], "max_kl": kl[-1],
            "agreement": agreeing / len(kl), "agreeing": agreeing,
        })
    return rows


def sustained_k(tasks, layers, eta, agreement):
    k = layers
    while k > 0 and all(
        task["curve"][k - 1]["mean_kl"] <= eta and task["curve"][k - 1]["agreement"] >= agreement for task in tasks
    ):
        k -= 1
    return k


def paper_k(first_token, layers):
    return next((k for k in range(PAPER_FIRST_LAYER, layers) if first_token[k] <= PAPER_ETA), layers)


def rounded(value):
    """Seven digits: more than f32 logits carry, and a file that is the same on every machine that agrees so far."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def calibrate(model_path, set_path):
    reference = ReferenceModel(ROOT / model_path)
    layers = reference.layer_count
    tasks = []
    for folder in sorted((ROOT / set_path).iterdir()):
        records = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
        samples = [measure(reference, folder, record) for record in records]
        tasks.append({
            "name": folder.name, "samples": len(samples), "positions": sum(s["positions"] for s in samples),
            "curve": curve(samples, layers), "per_sample": samples,
        })
    pooled = [sample for task in tasks for sample in task["per_sample"]]
    first_token = [math.fsum(s["kl"][k][0] for s in pooled) / len(pooled) for k in range(layers + 1)]
    return rounded({
        "model": model_path, "set": set_path, "layers": layers, "answer_positions": ANSWER_POSITIONS,
        "direction": "KL(withdrawn || full), nats",
        "k": {
            "default": sustained_k(tasks, layers, DEFAULT_ETA, DEFAULT_AGREEMENT), "paper": paper_k(first_token, layers)
        },
        "criterion": {
            "default": {"eta": DEFAULT_ETA, "agreement": DEFAULT_AGREEMENT},
            "paper": {"eta": PAPER_ETA, "first_layer": PAPER_FIRST_LAYER},
        },
        "eta": [
            {
                "eta": eta, "k": sustained_k(tasks, layers, eta, DEFAULT_AGREEMENT),
                "k_mean_only": sustained_k(tasks, layers, eta, 0),
            }
            for eta in ETAS
        ],
        "first_token_mean_kl": first_token,
        "tasks": tasks,
    })


def write(result, path):
    """JSON with one line per sample and per point of a curve."""
    text = json.dumps(result, ensure_ascii=False)
    text = text.replace('{"k":', '\n{"k":').replace('{"file_name"', '\n{"file_name"').replace('{"name"', '\n{"name"')
    path.write_text(text.replace('"tasks"', '\n"tasks"').replace('"first_token', '\n"first_token') + "\n")
    json.loads(path.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["demo", "mini", "next"])
    only = parser.parse_args().only
    torch.set_num_threads(1)
    jobs = {
        "demo": ("tools/demo-llava/model", "tools/demo-llava/calib"),
        "mini": ("Tests/Fixtures/models/gqa", "Tests/Fixtures/calib-mini/imagefolder"),
        "next": ("Tests/Fixtures/models/next-vicuna", "Tests/Fixtures/calib-mini/imagefolder"),
    }
    for name, (model_path, set_path) in jobs.items():
        if only in (None, name):
            result = calibrate(model_path, set_path)
            write(result, EXPECTED / f"{name}-calibration.json")
            print(f"{name}: {result['k']}")
            for task in result["tasks"]:
                means = " ".join(f"{point['mean_kl']:.4f}" for point in task["curve"])
                print(f"  {task['name']:10} {task['positions']:3} positions  {means}")


if __name__ == "__main__":
    main()
