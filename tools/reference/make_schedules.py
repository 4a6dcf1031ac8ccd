"""Schedules that freeze visual rows, drawn at random: python make_schedules.py [--only NAME]

Writes Tests/Fixtures/expected/schedules/NAME.safetensors for the demo checkpoint and three random models (grouped queries,
one key/value head, several images): for each of SCHEDULES random schedules S = 0, 1, ..., half of them "A-B" (frozen in
layers A ... B-1, withdrawn from B on) and half lists "layers=..." of the layers that update visual rows:

| tensor | shape | |
|---|---|---|
| `S.hidden.N` | [rows that are left, width] | leaving the last layer; frozen rows as they froze; of the demo two |
| `S.hidden.MM` | [rows, width] | entering the layer in the middle, MM = N / 2; not of the demo |
| `S.logits` | [1, vocabulary] | the prompt's last row |
| `S.generated` | [32] i32 | greedy, going on past end tokens |

Metadata: `model`, `prompt`, `images`, `layers` as in make_expected.py; `S.schedule`; `least_lead`.
Full, frozen and withdrawn layers are the same loop as in make_expected.py, so A = B is its withdrawal at A.
"""

import argparse
import json
import random

from reference_model import ReferenceModel

import torch

from fixture_cases import MODELS
from make_expected import DEMO_CASES, DEMO_MODEL, FIXTURES, lead, picture
from tensor_file import write_tensors

SCHEDULES, GREEDY_TOKENS, SEED = 6, 32, 6
LEAST_LEAD = 1e-4  # of the logit range: a narrower choice could fall the other way by summation order


def draw(source, index, layers):
    """-> text, layers that freeze, layer that withdraws."""
    if index % 2:
        updated = sorted(source.sample(range(layers), source.randint(1, layers - 1)))
        return "layers=" + ",".join(map(str, updated)), set(range(layers)) - set(updated), layers
    first = source.randrange(layers)
    last = source.randint(first + 1, layers)
    return f"{first}-{last}", set(range(first, last)), last


def expected(reference, case, source, is_demo):
    n = reference.layer_count
    prompt = reference.prompt(case.prompt, [picture(name) for name in case.images])
    tensors, metadata, least, seen, number = {}, {}, 1.0, set(), 0
    while number < SCHEDULES:
        text, frozen, k = draw(source, number, n)
        if text in seen:
            continue
        run = reference.prefill(prompt, k, frozen=frozen)
        ids, logits = reference.generate(run, GREEDY_TOKENS)
        if lead(logits) < LEAST_LEAD:
            continue
        seen.add(text)
        least = min(least, lead(logits))
        metadata[f"{number}.schedule"] = text
        if not is_demo:
            tensors[f"{number}.hidden.{n // 2:02d}"] = run.hidden[n // 2]
        if not is_demo or number < 2:
            tensors[f"{number}.hidden.{n:02d}"] = run.hidden[n]
        tensors[f"{number}.logits"] = run.logits[-1:]
        tensors[f"{number}.generated"] = torch.tensor(ids, dtype=torch.int32)
        number += 1
    metadata |= {
        "prompt": case.prompt, "images": json.dumps(list(case.images)), "layers": str(n), "least_lead": f"{least:.6f}",
    }
    return {name: value.contiguous().clone() for name, value in tensors.items()}, metadata


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    cases = {model.name: (FIXTURES / "models" / model.name, model.cases[0]) for model in MODELS}
    jobs = {name: cases[name] for name in ("gqa", "mqa", "sharded")} | {"demo": (DEMO_MODEL, DEMO_CASES[1])}
    # Two images with an answer between them, and a third behind.
    jobs["gqa"] = (jobs["gqa"][0], next(case for model in MODELS for case in model.cases if "three" in case.name))
    for name, (folder, case) in jobs.items():
        if only in (None, name):
            tensors, metadata = expected(ReferenceModel(folder), case, random.Random(SEED), name == "demo")
            out = FIXTURES / "expected" / "schedules" / f"{name}.safetensors"
            out.parent.mkdir(parents=True, exist_ok=True)
            model = "tools/demo-llava/model" if name == "demo" else f"Tests/Fixtures/models/{name}"
            write_tensors(out, tensors, {"model": model, **metadata})
            chosen = [metadata[f"{number}.schedule"] for number in range(SCHEDULES)]
            print(f"{name}: {out.stat().st_size} bytes, {chosen}, least lead {metadata['least_lead']}", flush=True)


if __name__ == "__main__":
    main()
