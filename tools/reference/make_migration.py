"""Where the image goes, by the whole attention matrices of every layer: python make_migration.py [--only demo|gqa|mqa]

Writes Tests/Fixtures/expected/NAME-migration.json for the demo checkpoint on its calibration set and for the random models
`gqa` and `mqa` on Tests/Fixtures/calib-mini/imagefolder. Prompts, answers and answer positions are those of
make_calibration.py.

Per sample, in one pass over the prompt and the answer ids that are fed:
- rows: text rows behind the image. `answer` are the answer positions (the prompt's last row and the fed answer rows),
  `question` those before them.
- `system`, `visual`, `question`, `answer`: the share of a row's attention, mean over heads, on the rows of the template's
  opening (whose pieces end in it), of the image, of the other text of the prompt, and of the answer.
- `change`, layer K: |x - y| / |y| of a row as it leaves layer K, y in the full pass and x in the pass that withdraws the
  image on entry to layer K.
Means over the rows of a group, every row weighing the same whatever its sample, per task and over all (`pooled`).
"""

import argparse
import json

from reference_model import ReferenceModel

import torch

from fixture_cases import SYSTEM, vicuna
from make_calibration import ANSWER_POSITIONS, EXPECTED, ROOT, answer_ids, rounded

QUANTITIES = ["system", "visual", "question", "answer", "change"]


def measure(reference, folder, record):
    """One sample -> {group: f64 [rows, layers, quantities]}."""
    prompt = reference.prompt(vicuna(record["question"]), [folder / record["file_name"]])
    ids = answer_ids(reference, prompt, record.get("answer"))
    fed = ids[: min(ANSWER_POSITIONS, len(ids)) - 1]
    full = reference.prefill(prompt, None, fed)

    visual = torch.cat([prompt.visual, torch.zeros(len(fed), dtype=torch.bool)])
    first = int(visual.int().argmax())
    place = torch.arange(len(visual))
    # No image stands in the opening, so tokens are rows there.
    ends = [end for _, end in reference.tokenizer(prompt.text, return_offsets_mapping=True)["offset_mapping"]]
    opening = next(index for index, end in enumerate(ends) if end > len(f"{SYSTEM} "))
    classes = [
        place < opening, visual, (place >= opening) & ~visual & (place < len(prompt.ids)), place >= len(prompt.ids),
    ]
    rows = [row for row in range(first, len(visual)) if not visual[row]]
    values = torch.zeros(len(rows), reference.layer_count, len(QUANTITIES), dtype=torch.float64)
    for layer, probabilities in enumerate(full.attention):
        shares = probabilities.double().mean(0)[rows]
        for index, members in enumerate(classes):
            values[:, layer, index] = shares[:, members].sum(-1)
        withdrawn = reference.prefill(prompt, layer, fed).hidden[layer + 1][-len(rows) :].double()
        kept = full.hidden[layer + 1][rows].double()
        values[:, layer, 4] = (withdrawn - kept).norm(dim=-1) / kept.norm(dim=-1)
    is_answer = torch.tensor([row >= len(prompt.ids) - 1 for row in rows])
    return {"question": values[~is_answer], "answer": values[is_answer]}


def means(samples):
    result = {}
    for group in ("question", "answer"):
        rows = torch.cat([sample[group] for sample in samples])
        result[group] = {"rows": len(rows)} | dict(zip(QUANTITIES, rows.mean(0).T.tolist()))
    return result


def migration(model_path, set_path):
    reference = ReferenceModel(ROOT / model_path)
    tasks, pooled = [], []
    for folder in sorted((ROOT / set_path).iterdir()):
        records = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
        samples = [measure(reference, folder, record) for record in records]
        tasks.append({"name": folder.name} | means(samples))
        pooled += samples
    return rounded({
        "model": model_path, "set": set_path, "layers": reference.layer_count, "tasks": tasks, "pooled": means(pooled),
    })


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = {
        "demo": ("tools/demo-llava/model", "tools/demo-llava/calib"),
        "gqa": ("Tests/Fixtures/models/gqa", "Tests/Fixtures/calib-mini/imagefolder"),
        "mqa": ("Tests/Fixtures/models/mqa", "Tests/Fixtures/calib-mini/imagefolder"),
    }
    parser.add_argument("--only", choices=jobs)
    only = parser.parse_args().only
    torch.set_num_threads(1)
    for name, (model_path, set_path) in jobs.items():
        if only in (None, name):
            result = migration(model_path, set_path)
            text = json.dumps(result).replace('"answer": {', '\n"answer": {').replace('{"name"', '\n{"name"')
            (EXPECTED / f"{name}-migration.json").write_text(text.replace('"pooled"', '\n"pooled"') + "\n")
            print(f"{name}: {result['pooled']['answer']['rows']} answer rows")


if __name__ == "__main__":
    main()
