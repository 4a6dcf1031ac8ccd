"""Writes what the engine has to compute: python make_expected.py [--only NAME]

One safetensors file per case into Tests/Fixtures/expected/, f32 unless said, with the names of `vtwrun --trace`:

| tensor | shape | |
|---|---|---|
| `pixels` | [tiles, 3, h, w] | absent without images, like `vision_features` and `projected` |
| `input_ids` | [rows] i32 | the image token once per visual row |
| `row_class` | [rows] u8 | 0 text before the first image, 1 text after it, 3 visual |
| `positions` | [rows] i32 | |
| `vision_features` | [rows of all tiles, vision width x feature layers] | selected layers side by side, class row dropped or kept |
| `projected` | [visual rows, width] | arranged, newlines included |
| `hidden.00` ... `hidden.N` | [rows, width] | entering layer 0 ... N-1, then leaving the last, before the final norm |
| `final_norm`, `logits` | [1, width], [1, vocabulary] | the prompt's last row |
| `generated` | [64] i32 | greedy, going on past end tokens |
| `k.KK.hidden.N`, `k.KK.logits`, `k.KK.generated` | text rows only | the same with withdrawal at KK = 00 ... N-1 |

Metadata: `model`, `prompt` (for `vtwrun --raw`), `images` (JSON list of names in Tests/Fixtures/images), `layers`,
`rows_per_image`, `text` (the greedy text), `least_lead` (smallest lead of a greedy choice over the second, as a share
of the logit range, over all K).

Of models with tiles the folder shapes/ has a file for all SHAPES of pictures, each run with the prompt of the model's
first case; the names begin with the picture's:

| tensor | shape | |
|---|---|---|
| `pixels` | [2] i32 | the number of tiles and a 32-bit FNV-1a hash of all f32 values |
| `input_ids`, `projected`, `logits`, `generated` | | as above, 16 greedy ids |
| `k.logits`, `k.generated` | | the same with withdrawal at `k` of the metadata |

The K = N pass is compared with Hugging Face's own forward pass and `generate` before anything is written.
"""

import argparse
import json
import pathlib

from reference_model import ReferenceModel

import torch

from fixture_cases import MODELS, SHAPES, SPELLING_MODEL, Case, shape_name, vicuna
from tensor_file import write_tensors

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests" / "Fixtures"
DEMO_MODEL = ROOT / "tools" / "demo-llava" / "model"
GREEDY_TOKENS = 64
SHAPE_TOKENS = 16

# The demo checkpoint is larger, so of its hidden states only these layers are stored (N = 12), and K = 7 besides K = N.
DEMO_LAYERS, DEMO_K = (0, 6, 7, 12), 7
# The trained model was not made to be stable far past its end token; these two lead by 2e-4 throughout.
DEMO_CASES = [
    Case("demo", vicuna("Read the top row."), ("demo-252.jpg",)),
    Case("demo.calib", vicuna("Where is the 2?"), ("tools/demo-llava/calib/search/001.jpg",)),
]


def picture(name):
    """A name with a folder is relative to the repository, a bare one to Tests/Fixtures/images."""
    return ROOT / name if "/" in name else FIXTURES / "images" / name


@torch.no_grad()
def check_against_transformers(reference, prompt, run, generated):
    """The hand-written pass must be Hugging Face's."""
    inputs = dict(input_ids=prompt.ids[None], **prompt.inputs)
    theirs = reference.model(**inputs, output_hidden_states=True)
    spread = float(theirs.logits.max() - theirs.logits.min())
    worst = float((theirs.logits[0] - run.logits).abs().max())
    if worst > 1e-5 * spread:
        raise SystemExit(f"logits differ from transformers by {worst} of {spread}")
    for ours, state in zip(run.hidden[:-1], theirs.hidden_states):
        torch.testing.assert_close(ours, state[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(run.final_norm, theirs.hidden_states[-1][0], rtol=1e-5, atol=1e-5)
    ids = reference.model.generate(
        **inputs, attention_mask=torch.ones_like(inputs["input_ids"]), do_sample=False,
        max_new_tokens=len(generated), min_new_tokens=len(generated), eos_token_id=[],
    )[0, len(prompt.ids) :].tolist()
    if ids != generated:
        raise SystemExit(f"greedy ids differ from transformers: {ids} {generated}")


def lead(logits):
    """Smallest lead of the best logit over the second, as a share of the range. `logits` [steps, vocabulary]."""
    best = logits.topk(2).values
    return float(((best[:, 0] - best[:, 1]) / (logits.max(1).values - logits.min(1).values)).min())


def expected(reference, case, stored_layers=None, hidden_k=None):
    """-> tensors, metadata. `stored_layers`: which hidden states (all); `hidden_k`: K < N with hidden states (all)."""
    n = reference.layer_count
    prompt = reference.prompt(case.prompt, [picture(name) for name in case.images])
    run = reference.prefill(prompt)
    tensors = {
        "input_ids": prompt.ids.int(),
        "row_class": prompt.row_class(),
        "positions": torch.arange(len(prompt.ids), dtype=torch.int32),
        "final_norm": run.final_norm[-1:],
        "logits": run.logits[-1:],
    }
    if case.images:
        tensors |= {"pixels": prompt.pixels, "vision_features": run.features, "projected": run.projected}
    for index in stored_layers or range(n + 1):
        tensors[f"hidden.{index:02d}"] = run.hidden[index]
    generated, seen = reference.generate(run, GREEDY_TOKENS)
    tensors["generated"] = torch.tensor(generated, dtype=torch.int32)
    least_lead = lead(seen)
    check_against_transformers(reference, prompt, reference.prefill(prompt), generated)

    for k in range(n) if case.images else ():
        run = reference.prefill(prompt, k)
        for index in stored_layers or [n]:
            if hidden_k in (None, k) and (index == n or stored_layers and index >= k):
                tensors[f"k.{k:02d}.hidden.{index:02d}"] = run.hidden[index]
        tensors[f"k.{k:02d}.logits"] = run.logits[-1:]
        ids, seen = reference.generate(run, GREEDY_TOKENS)
        tensors[f"k.{k:02d}.generated"] = torch.tensor(ids, dtype=torch.int32)
        least_lead = min(least_lead, lead(seen))
    metadata = {
        "prompt": case.prompt, "images": json.dumps(list(case.images)), "layers": str(n),
        "rows_per_image": str(reference.rows_per_image), "text": reference.tokenizer.decode(generated),
        "least_lead": f"{least_lead:.6f}",
    }
    return {name: value.contiguous().clone() for name, value in tensors.items()}, metadata


def fnv1a(values):
    """32-bit FNV-1a over the bytes of f32 `values`."""
    digest = 0x811C9DC5
    for byte in values.contiguous().numpy().astype("<f4").tobytes():
        digest = (digest ^ byte) * 0x01000193 & 0xFFFFFFFF
    return digest


def write_shapes(model, folder, model_path):
    reference = ReferenceModel(folder)
    k = reference.layer_count // 2
    tensors = {}
    for width, height in SHAPES:
        name = shape_name(width, height)
        prompt = reference.prompt(model.cases[0].prompt, [picture(name)])
        run = reference.prefill(prompt)
        generated, _ = reference.generate(run, SHAPE_TOKENS)
        check_against_transformers(reference, prompt, reference.prefill(prompt), generated)
        withdrawn = reference.prefill(prompt, k)
        found = {
            "pixels": torch.tensor([len(prompt.pixels), fnv1a(prompt.pixels) - (1 << 31)], dtype=torch.int32),
            "input_ids": prompt.ids.int(), "projected": run.projected, "logits": run.logits[-1:],
            "generated": torch.tensor(generated, dtype=torch.int32), "k.logits": withdrawn.logits[-1:],
        }
        found["k.generated"] = torch.tensor(reference.generate(withdrawn, SHAPE_TOKENS)[0], dtype=torch.int32)
        tensors |= {f"{name}.{key}": value.contiguous().clone() for key, value in found.items()}
    out = FIXTURES / "expected" / "shapes" / f"{model.name}.safetensors"
    out.parent.mkdir(parents=True, exist_ok=True)
    images = [shape_name(width, height) for width, height in SHAPES]
    write_tensors(out, tensors, {
        "model": model_path, "prompt": model.cases[0].prompt, "images": json.dumps(images), "k": str(k),
    })
    print(f"shapes of {model.name}: {out.stat().st_size} bytes", flush=True)


def write(case, folder, model_path, **options):
    tensors, metadata = expected(ReferenceModel(folder), case, **options)
    out = FIXTURES / "expected" / f"{case.name}.safetensors"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(out, tensors, {"model": model_path, **metadata})
    print(f"{case.name}: {len(tensors)} tensors, {out.stat().st_size} bytes, least lead {metadata['least_lead']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one model's name, `spellings` or `demo`")
    only = parser.parse_args().only
    torch.set_num_threads(1)  # one thread, one summation order
    for model in MODELS:
        if only in (None, model.name):
            for case in model.cases:
                # Rows of tiles are many: of their hidden states only the last are stored.
                layers = (model.text["num_hidden_layers"],) if model.family != "llava" else None
                write(case, FIXTURES / "models" / model.name, f"Tests/Fixtures/models/{model.name}", stored_layers=layers)
            if model.shapes:
                write_shapes(model, FIXTURES / "models" / model.name, f"Tests/Fixtures/models/{model.name}")
    if only in (None, "spellings"):
        for case in SPELLING_MODEL.cases:
            write(case, FIXTURES / "spellings" / "a", "Tests/Fixtures/spellings/a")
    if only in (None, "demo"):
        for case in DEMO_CASES:
            write(case, DEMO_MODEL, "tools/demo-llava/model", stored_layers=DEMO_LAYERS, hidden_k=DEMO_K)


if __name__ == "__main__":
    main()
