"""What each criterion takes on measured divergences: python make_criteria.py

Reads Tests/Fixtures/expected/{demo,mini}-calibration.json (per sample, K and position: KL and agreement by transformers) and writes
expected/{demo,mini}-criteria.json. Intervals are scipy's (Student's t; Wilson by `binomtest`), sums numpy's; torch is not needed.

The convention
- Mean of a task at K: R = sum(y) / sum(x), y = a sample's KL over its positions, x = how many they are. Its interval: t(n - 1) times
  sqrt(n / (n - 1) sum((y - R x)^2)) / sum(x), cut at 0; none for one sample.
- Quantile rule: as the default rule, with the nearest-rank percentile in place of the mean. Budget rule: among the K whose decoder FLOPs
  (64 text rows, one image) are at most that share of those at K = N, the least worst-task mean; of equals the smallest K.
- Held out, four times: every fourth sample of each task, from place 0, 1, 2 or 3 on; the rest chooses. K then is the least from the
  chosen one on at which the held-out samples pass the rule too.
"""

import json
import math
import pathlib

import numpy
import scipy.stats

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPECTED = ROOT / "Tests" / "Fixtures" / "expected"
ETAS = [1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 3e-2, 5e-2, 1e-1]
TEXT_ROWS = 64


def rounded(value):
    """Seven digits: what the measured divergences have."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def points(samples, layers, percentile=95):
    """One entry per K of a task's statistics, with the intervals of scipy."""
    result = []
    for k in range(layers):
        y = numpy.array([math.fsum(sample["kl"][k]) for sample in samples])
        x = numpy.array([len(sample["kl"][k]) for sample in samples])
        n = len(samples)
        mean = y.sum() / x.sum()
        interval = None
        if n > 1:
            reach = scipy.stats.t.ppf(0.975, n - 1) * math.sqrt(n / (n - 1) * ((y - mean * x) ** 2).sum()) / x.sum()
            interval = [max(0.0, mean - reach), mean + reach]
        values = sorted(value for sample in samples for value in sample["kl"][k])
        agreeing = sum(sum(sample["agree"][k]) for sample in samples)
        wilson = scipy.stats.binomtest(agreeing, len(values)).proportion_ci(0.95, method="wilson")
        result.append({
            "k": k, "mean_kl": float(mean), "mean_kl_interval": interval, "agreement": agreeing / len(values),
            "agreement_interval": [wilson.low, wilson.high],
            "quantile_kl": values[math.ceil(percentile / 100 * len(values)) - 1],
        })
    return result


def sustained(curves, layers, key, eta, agreement):
    k = layers
    while k > 0 and all(curve[k - 1][key] <= eta and curve[k - 1]["agreement"] >= agreement for curve in curves):
        k -= 1
    return k


def flops(config, layers, k):
    """Share of the decoder's multiply-adds that withdrawal at K leaves."""
    h, m, v = config["hidden_size"], config["intermediate_size"], config["visual_rows"]
    kv = config["key_value_width"]

    def layer(rows):
        return 2 * rows * (2 * h + 2 * kv + 3 * m) * h + 4 * rows * rows * h

    full, text = layer(TEXT_ROWS + v), layer(TEXT_ROWS)
    return (k * full + (layers - k) * text) / (layers * full)


def dimensions(model):
    """The numbers of a model's config.json that its FLOPs need; queries are as wide as the hidden state."""
    config = json.loads((ROOT / model / "config.json").read_text())
    text, vision = config["text_config"], config["vision_config"]
    head = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
    assert head * text["num_attention_heads"] == text["hidden_size"]
    return {
        "hidden_size": text["hidden_size"], "intermediate_size": text["intermediate_size"],
        "key_value_width": head * text.get("num_key_value_heads", text["num_attention_heads"]),
        "visual_rows": (vision["image_size"] // vision["patch_size"]) ** 2,
    }


def choices(tasks, config, layers):
    """K by rule and threshold for the tasks [(name, samples)]."""
    curves = {percentile: [points(samples, layers, percentile) for _, samples in tasks] for percentile in (90, 95, 99)}
    mean = curves[95]
    worst = [max(curve[k]["mean_kl"] for curve in mean) for k in range(layers)] + [0.0]
    shares = [flops(config, layers, k) for k in range(layers + 1)]
    budgets = []
    for budget in (0.1, 0.5, 0.6, 0.75, 0.9, 1.0):
        allowed = [k for k in range(layers + 1) if shares[k] <= budget]
        budgets.append({"flops": budget, "k": min(allowed, key=lambda k: worst[k]) if allowed else layers})
    return {
        "default": sustained(mean, layers, "mean_kl", 0.01, 0.98),
        "default_by_task": [sustained([curve], layers, "mean_kl", 0.01, 0.98) for curve in mean],
        "quantile": [
            {"percentile": p, "eta": eta, "agreement": share, "k": sustained(curves[p], layers, "quantile_kl", eta, share)}
            for p in curves for eta in (0.01, 0.05, 0.2) for share in (0.98, 0.0)
        ],
        "budget": budgets, "flops_ratio": shares, "worst_mean_kl": worst,
        "eta": [{"eta": eta, "k": sustained(mean, layers, "mean_kl", eta, 0)} for eta in ETAS],
    }


def split(tasks, place, config, layers):
    """K by the default rule before and after the samples at this place of every four had their say."""
    choosing = [(task, [s for i, s in enumerate(samples) if i % 4 != place]) for task, samples in tasks]
    checking = [(task, [s for i, s in enumerate(samples) if i % 4 == place]) for task, samples in tasks]
    chosen, checked = (choices(part, config, layers) for part in (choosing, checking))
    return {
        "k_calibrated": chosen["default"], "k": max(chosen["default"], checked["default"]),
        "by_task": [
            {"k_calibrated": a, "k": max(a, b)} for a, b in zip(chosen["default_by_task"], checked["default_by_task"])
        ],
    }


def main():
    for name in ("demo", "mini"):
        measured = json.loads((EXPECTED / f"{name}-calibration.json").read_text())
        layers, config = measured["layers"], dimensions(measured["model"])
        tasks = [(task["name"], task["per_sample"]) for task in measured["tasks"]]
        result = {
            "tasks": [{"name": task, "points": points(samples, layers)} for task, samples in tasks],
            "all": choices(tasks, config, layers),
            "splits": [split(tasks, place, config, layers) for place in range(4)] if name == "demo" else [],
        }
        path = EXPECTED / f"{name}-criteria.json"
        text = json.dumps(rounded(result)).replace('{"name"', '\n{"name"').replace('{"k":', '\n{"k":')
        path.write_text(text + "\n")
        print(name, {key: result["all"][key] for key in ("default", "budget")}, *result["splits"], sep="\n")


if __name__ == "__main__":
    main()
