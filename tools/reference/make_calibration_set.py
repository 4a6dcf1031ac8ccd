"""Makes the six-sample calibration set: python make_calibration_set.py [--out Tests/Fixtures/calib-mini]

The same samples in two of the layouts that people have, two tasks as sub-folders:

- `imagefolder/TASK/metadata.jsonl`: `file_name`, `question` and, for half of them, `answer`;
- `plain/TASK/`: pictures, each with a `.txt` of the same name (the question) or a `.json` (`question`, `answer`).

Samples without an answer are calibrated on what the full model says.
"""

import argparse
import json
import pathlib
import shutil

from make_images import FIXTURES, scene

# task, picture, width, height, question, answer or None
SAMPLES = [
    ("shapes", "00.png", 28, 28, "What color is the top left cell?", "blue"),
    ("shapes", "01.jpg", 60, 40, "Is there a 3?", None),
    ("shapes", "02.png", 35, 52, "Read the top row.", "314 15"),
    ("shapes", "03.jpg", 40, 40, "Which digit is to the left of the 7?", None),
    ("words", "00.jpg", 48, 31, "List all the digits in reading order.", "012345678"),
    ("words", "01.png", 20, 20, "Describe the picture in detail, please!", None),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=FIXTURES / "calib-mini")
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    for seed, (task, name, width, height, question, answer) in enumerate(SAMPLES, start=100):
        picture = scene(width, height, seed)
        record = {"question": question} | ({"answer": answer} if answer else {})
        for layout in ("imagefolder", "plain"):
            folder = out / layout / task
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / name, **({"quality": 85} if name.endswith("jpg") else {"optimize": True}))
        with open(out / "imagefolder" / task / "metadata.jsonl", "a") as file:
            file.write(json.dumps({"file_name": name, **record}) + "\n")
        if answer:
            (out / "plain" / task / name).with_suffix(".json").write_text(json.dumps(record) + "\n")
        else:
            (out / "plain" / task / name).with_suffix(".txt").write_text(question + "\n")


if __name__ == "__main__":
    main()
