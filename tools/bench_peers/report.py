"""Turns rounds into a page of medians, spreads and ratios."""

import os
import pathlib
import platform
import statistics
import sys

STAGES = [("vision", "image encode"), ("prefill", "prefill"),
          ("first_token", "prompt to first token"), ("decode", "decode, per token"),
          ("load", "load")]


def machine():
    """The processor and what of it matters here."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in info.splitlines()
                  if line.startswith("model name")), platform.machine())
    flags = next((line.split(":")[1].split() for line in info.splitlines()
                  if line.startswith("flags")), [])
    features = [name for name in ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16",
                                  "amx_int8") if name in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{model}, {os.cpu_count()} cores, {', '.join(features) or 'no x86 features'}; "
            f"{memory:.0f} GiB of memory; Linux {platform.release()}")


def seconds(value):
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def cell(values):
    """Median, and half the distance from the least to the greatest."""
    if not values:
        return "-"
    return f"{seconds(statistics.median(values))} ±{seconds((max(values) - min(values)) / 2)}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def paired(rounds, column, other, stage):
    """The other's time over the column's, round by round."""
    return [values[other][stage] / values[column][stage] for values in rounds
            if stage in values.get(other, {}) and values.get(column, {}).get(stage)]


def stage_table(result):
    columns = list(result["rounds"][0])
    rows = []
    for stage, title in STAGES:
        rows.append([title] + [
            cell([values[column][stage] for values in result["rounds"]
                  if stage in values[column]]) for column in columns])
    rows.append(["decode, tokens/s"] + [
        f"{1 / statistics.median(values[column]['decode'] for values in result['rounds']):.1f}"
        for column in columns])
    return table([""] + columns, rows)


def start_table(result):
    columns = list(result["starts"][0]["values"])
    rows = []
    for kind in dict.fromkeys(start["kind"] for start in result["starts"]):
        starts = [start["values"] for start in result["starts"] if start["kind"] == kind]
        rows.append([f"first token, page cache {kind}"] + [
            cell([values[column]["first_token"] for values in starts]) for column in columns])
    peaks = [[start["values"][column]["peak_bytes"] for start in result["starts"]]
             for column in columns]
    rows.append(["peak memory"] + [f"{statistics.median(peak) / 1e6:.0f} MB" for peak in peaks])
    return table([""] + columns, rows)


def ratio_table(result):
    """How many times longer each other engine takes than each of ours."""
    columns = list(result["rounds"][0])
    ours = [column for column in columns if column.startswith("ours")]
    warm = [start["values"] for start in result["starts"] if start["kind"] == "warm"]
    rows = []
    for mine in ours:
        for other in columns:
            if other in ours:
                continue
            row = [f"{other} / {mine}"]
            for stage, _ in STAGES[:-1]:
                ratios = paired(result["rounds"], mine, other, stage)
                row.append(f"{statistics.median(ratios):.2f}")
            for name in ("first_token", "peak_bytes"):
                ratios = paired(warm, mine, other, name)
                row.append(f"{statistics.median(ratios):.2f}" if ratios else "-")
            rows.append(row)
    return table(["", "image encode", "prefill", "first token", "decode", "start", "memory"], rows)


def section(result, options):
    text = f"## {result['shape']}\n\n"
    text += "Written by `tools/bench-peers " + " ".join(sys.argv[1:]) + "`.\n\n"
    text += f"{machine()}. {options.threads} threads.\n\n"
    text += (f"{options.images * 576} visual and {options.text_rows} text rows, then "
             f"{options.decode} tokens; greedy, batch of one. Medians of {options.runs} rounds.\n\n")
    for column, version in result["versions"].items():
        text += f"- {column}: {version}\n"
    text += "\nWarm process:\n\n" + stage_table(result)
    if result["starts"]:
        text += ("\nFrom process start to the first token of an answer about one picture, "
                 f"medians of {options.starts}:\n\n") + start_table(result)
    return text + "\nTimes and memory of others over ours:\n\n" + ratio_table(result)


def earlier_sections(path):
    """What the page says of each shape already."""
    if not path.exists():
        return {}
    parts = path.read_text().split("\n## ")[1:]
    return {part.split("\n")[0]: "## " + part.rstrip("\n") + "\n" for part in parts}


def write_report(path, results, options):
    """Writes the page; shapes that were not measured this time stay as they are."""
    sections = earlier_sections(path)
    sections.update((result["shape"], section(result, options)) for result in results)
    text = ("# Beside other engines\n\n"
            "Random weights of true shape: speed and memory only. Every round runs each engine once, "
            "in turn, in processes that stay alive; figures are medians of rounds ± half the distance "
            "from the least to the greatest, and ratios are medians of each round's own. Ratios above "
            "1 are in our favour.\n")
    path.write_text(text + "".join("\n" + sections[shape] for shape in sorted(sections)))
