#!/usr/bin/env python3
"""Makes Tests/Fixtures/sample-sets: the same few questions in every layout that people have.

What a set holds is asked of the libraries that people read it with, where there is one: `datasets`
for image folders and parquet, `webdataset` for tar archives, `pandas` for VLMEvalKit's tables.  The
answer goes to expected.json: per set, in order, id, task, question, answer, SHA-256 of the images.
Ids and the rules about tasks and marks are ours (formats/sample-sets.md), restated here.

    python make_sample_sets.py    (needs requirements.txt and requirements-sets.txt)
"""

import base64
import csv
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp()

import datasets  # noqa: E402
import pandas  # noqa: E402
import webdataset  # noqa: E402
from PIL import Image  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "Tests" / "Fixtures" / "sample-sets"
DEFAULT = "Describe the image."

# Hard for tables and JSON: quotes, delimiters, line breaks, other alphabets, leading spaces.
QUESTIONS = [
    ("What colour is it?", "red"),
    ('Does the sign say "Café, open"?', "yes, it does"),
    ("First line\nsecond line?", "two\tcells"),
    ("何が見えますか？", "猫 🐈"),
    ("  spaces, at both ends  ", "7"),
    ("5\" or 6'?", '"'),
]


def picture(index, side, format):
    """A small picture of its own, encoded."""
    random.seed(index)
    image = Image.new("RGB", (side, side))
    base = [random.randrange(256) for _ in range(3)]
    image.putdata([tuple((c + 9 * x + 5 * y) % 256 for c in base)
                   for y in range(side) for x in range(side)])
    stream = io.BytesIO()
    image.save(stream, format, quality=60, optimize=True)
    return stream.getvalue()


FORMATS = [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")]
PICTURES = [(picture(i, 8 + 3 * i, FORMATS[i % 3][0]), FORMATS[i % 3][1]) for i in range(6)]


def sha(data):
    return hashlib.sha256(data).hexdigest()


expected = {}


def expect(layout, id, task, question, answer, images):
    expected.setdefault(layout, []).append(
        {"id": id, "task": task, "question": question, "answer": answer,
         "images": [sha(image) for image in images]})


def folder(*parts):
    path = OUT.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_pictures(path):
    names = []
    for i, (data, ending) in enumerate(PICTURES):
        (path / f"{i}.{ending}").write_bytes(data)
        names.append(f"{i}.{ending}")
    return names


def read_image_folder(path):
    """(question, answer, image bytes) as Hugging Face's loader sees them."""
    rows = datasets.load_dataset("imagefolder", data_dir=str(path), split="train", drop_labels=True)
    rows = rows.cast_column("image", datasets.Image(decode=False))
    for row in rows:
        data = row["image"]["bytes"] or pathlib.Path(row["image"]["path"]).read_bytes()
        yield row.get("question"), row.get("answer"), data


def make_csv():
    for layout, quoting, ending in [("csv", csv.QUOTE_MINIMAL, "\r\n"),
                                    ("csv-quoted", csv.QUOTE_ALL, "\n")]:
        path = folder(layout)
        names = write_pictures(path)
        lines = {}
        with open(path / "metadata.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, quoting=quoting, lineterminator=ending)
            writer.writerow(["file_name", "question", "note", "answer"])
            line = 2
            for name, (question, answer) in zip(names, QUESTIONS):
                writer.writerow([name, question, "not read", answer])
                lines[sha((path / name).read_bytes())] = line
                line += 1 + question.count("\n")
        for question, answer, data in sorted(read_image_folder(path), key=lambda r: lines[sha(r[2])]):
            expect(layout, f"{layout}/metadata.csv:{lines[sha(data)]}", layout, question, answer,
                   [data])


def make_jsonl():
    path = folder("jsonl")
    names = write_pictures(path)
    lines = {}
    with open(path / "metadata.jsonl", "w", encoding="utf-8") as file:
        for number, (name, (question, answer)) in enumerate(zip(names, QUESTIONS)):
            print(json.dumps({"file_name": name, "question": question, "answer": answer},
                             ensure_ascii=number % 2 == 0), file=file)
            lines[sha((path / name).read_bytes())] = number + 1
    for question, answer, data in sorted(read_image_folder(path), key=lambda r: lines[sha(r[2])]):
        expect("jsonl", f"jsonl/metadata.jsonl:{lines[sha(data)]}", "jsonl", question, answer, [data])


def make_parquet():
    """Parquet as `datasets` writes it, exported by tools/export-parquet."""
    rows = datasets.Dataset.from_dict(
        {"image": [{"bytes": data, "path": None} for data, _ in PICTURES],
         "question": [q for q, _ in QUESTIONS], "answer": [[a] for _, a in QUESTIONS],
         "kind": ["odd" if i % 2 else "even" for i in range(len(QUESTIONS))]},
    ).cast_column("image", datasets.Image(decode=False))
    with tempfile.TemporaryDirectory() as temporary:
        rows.to_parquet(f"{temporary}/set.parquet")
        subprocess.run([sys.executable, ROOT / "tools/export-parquet", f"{temporary}/set.parquet",
                        "-o", OUT / "parquet", "--task", "kind"], check=True)
    for kind in ("even", "odd"):
        chosen = [row for row in rows if row["kind"] == kind]
        for number, row in enumerate(chosen):
            expect("parquet", f"{kind}/metadata.jsonl:{number + 1}", kind, row["question"],
                   row["answer"][0], [row["image"]["bytes"]])


def marked(question, index):
    """The question with LLaVA's mark before or behind it, as its files have it."""
    return f"<image>\n{question}" if index % 2 == 0 else f"{question}\n<image>"


def make_llava():
    for layout, images in [("llava", "images"), ("llava-lines", "")]:
        path = folder(layout)
        names = write_pictures(folder(layout, images) if images else path)
        entries = []
        for i, (name, (question, answer)) in enumerate(zip(names, QUESTIONS)):
            turns = [{"from": "human", "value": marked(question, i)},
                     {"from": "gpt", "value": answer},
                     {"from": "human", "value": "And now?"}, {"from": "gpt", "value": "No."}]
            entries.append({"id": f"{i:09}", "image": name, "conversations": turns})
            number = i + 1
            expect(layout, f"{layout}/train.json{'l' if not images else ''}:{number}", layout,
                   question.strip(), answer, [PICTURES[i][0]])
        if images:
            (path / "train.json").write_text(json.dumps(entries, indent=1))
        else:
            (path / "train.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))


def make_questions():
    path = folder("questions")
    names = write_pictures(path)
    with open(path / "questions.jsonl", "w", encoding="utf-8") as file:
        for i, (name, (question, _)) in enumerate(zip(names, QUESTIONS)):
            category = ["conv", "detail"][i % 2]
            print(json.dumps({"question_id": i, "image": name, "text": question,
                              "category": category}), file=file)
            expect("questions", f"questions/questions.jsonl:{i + 1}", category, question.strip(), None,
                   [PICTURES[i][0]])


def make_vlmevalkit():
    """Multiple choice with an image by reference, and open questions with two images in a row."""
    path = folder("vlmevalkit")
    rows = []
    for i, (question, answer) in enumerate(QUESTIONS):
        data = PICTURES[3][0] if i == 5 else PICTURES[i][0]
        image = "3" if i == 5 else base64.b64encode(data).decode()
        rows.append({"index": i, "image": image, "question": question,
                     "hint": "Look twice." if i == 1 else None, "A": "one", "B": 'two, "quoted"',
                     "C": "three" if i % 2 else None, "answer": "AB"[i % 2],
                     "category": ["choice", "other"][i // 3]})
    pandas.DataFrame(rows).to_csv(path / "choice.tsv", sep="\t", index=False)
    read = pandas.read_csv(path / "choice.tsv", sep="\t")
    line = 2
    for i, row in read.iterrows():
        prompt = f"Hint: {row['hint']}\n" if not pandas.isna(row["hint"]) else ""
        prompt += f"Question: {row['question']}\nOptions:\n"
        for letter in "ABC":
            if not pandas.isna(row[letter]):
                prompt += f"{letter}. {row[letter]}\n"
        prompt += "Please select the correct answer from the options above. \n"
        source = row["image"] if len(row["image"]) > 64 else read["image"][int(row["image"])]
        expect("vlmevalkit/choice.tsv", f"vlmevalkit/choice.tsv:{line}", row["category"], prompt,
               row["answer"], [base64.b64decode(source)])
        line += 1 + row["question"].count("\n")

    both = [base64.b64encode(PICTURES[i][0]).decode() for i in (0, 1)]
    frame = pandas.DataFrame([
        {"index": "a", "image": both[0], "question": QUESTIONS[0][0], "answer": QUESTIONS[0][1]},
        {"index": "b", "image": str(both), "question": QUESTIONS[3][0], "answer": QUESTIONS[3][1]},
        {"index": "c", "image": "a", "question": QUESTIONS[1][0], "answer": QUESTIONS[1][1]}])
    frame.to_csv(path / "open.tsv", sep="\t", index=False, quoting=csv.QUOTE_NONNUMERIC)
    for i, row in pandas.read_csv(path / "open.tsv", sep="\t").iterrows():
        images = [PICTURES[0][0], PICTURES[1][0]] if i == 1 else [PICTURES[0][0]]
        expect("vlmevalkit/open.tsv", f"vlmevalkit/open.tsv:{i + 2}", "open", row["question"],
               row["answer"], images)


def make_mme():
    questions = [("Is it red? Please answer yes or no.", "Yes"),
                 ('Does it say "open"? Please answer yes or no.', "No")]
    text = "".join(f"{q}\t{a}\n" for q, a in questions)
    for task, images, texts in [("OCR", "", ""), ("artwork", "images", "questions_answers_YN")]:
        for i in range(2):
            data, ending = PICTURES[i]
            (folder("mme", task, images) / f"{i:04}.{ending}").write_bytes(data)
            (folder("mme", task, texts) / f"{i:04}.txt").write_text(text)
            name = f"{texts}/{i:04}.txt" if texts else f"{i:04}.txt"
            for number, (question, answer) in enumerate(questions):
                expect("mme", f"{task}/{name}:{number + 1}", task, question, answer, [data])


def make_messages():
    path = folder("messages")
    (path / "1.jpg").write_bytes(PICTURES[1][0])
    lines = []
    for i, (question, answer) in enumerate(QUESTIONS):
        data, ending = PICTURES[i]
        url = "1.jpg" if i == 1 else (
            f"data:image/{'jpeg' if ending == 'jpg' else ending};base64,"
            + base64.b64encode(data).decode())
        parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
        messages = [{"role": "system", "content": "You see."},
                    {"role": "user", "content": parts if i % 2 else parts[::-1]},
                    {"role": "assistant", "content": answer}]
        # Some writers escape every slash, so that the file does not hold the payload as it is.
        line = json.dumps({"messages": messages})
        lines.append(line.replace("/", "\\/") if i == 2 else line)
        expect("messages", f"messages/chat.jsonl:{i + 1}", "messages", question.strip(), answer, [data])
    beside = {"messages": [{"role": "user", "content": "<image>" + QUESTIONS[0][0]},
                           {"role": "assistant", "content": QUESTIONS[0][1]}], "images": ["1.jpg"]}
    lines.append(json.dumps(beside))
    expect("messages", "messages/chat.jsonl:7", "messages", *QUESTIONS[0], [PICTURES[1][0]])
    (path / "chat.jsonl").write_text("\n".join(lines) + "\n")


def expect_webdataset(layout, path, task):
    """What webdataset finds in the archive, without decoding."""
    for sample in webdataset.WebDataset(str(path), shardshuffle=False):
        image = next(sample[e] for e in ("png", "jpg", "webp") if e in sample)
        fields = json.loads(sample["json"]) if "json" in sample else {}
        question, answer = fields.get("question"), fields.get("answer", fields.get("caption"))
        if question is None and "txt" in sample and sample["txt"].decode() != answer:
            question = sample["txt"].decode()
        if answer is None and "cls" in sample:
            answer = sample["cls"].decode()
        key = sample["__key__"]
        expect(layout, f"tar/{path.name}:{key}", key.rpartition("/")[0] or task, question or DEFAULT,
               answer, [image])


def make_tar():
    path = folder("tar")
    # fields as bytes, so that webdataset writes them as they are
    with webdataset.TarWriter(str(path / "pairs.tar"), mtime=0) as writer:
        for i, (question, answer) in enumerate(QUESTIONS):
            data, ending = PICTURES[i]
            sample = {"__key__": f"{i:06}", ending: data}
            if i < 3:
                sample["json"] = json.dumps({"question": question, "answer": answer}).encode()
            elif i == 3:
                sample["txt"], sample["cls"] = question.encode(), b"3"
            elif i == 4:
                sample["json"] = json.dumps({"caption": answer, "url": "…"}).encode()
                sample["txt"] = answer.encode()
            writer.write(sample)
    expect_webdataset("tar/pairs.tar", path / "pairs.tar", "pairs")

    for layout, format in [("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT),
                           ("ustar", tarfile.USTAR_FORMAT)]:
        with tarfile.open(path / f"{layout}.tar", "w", format=format) as archive:
            for i, (question, answer) in enumerate(QUESTIONS[:2]):
                data, ending = PICTURES[i]
                # ustar splits a long name at a slash; the others have headers of their own.
                deep = "long-folder-name" * 7
                key = f"{deep}/{i:06}" if layout == "ustar" else (
                    f"{deep}/é-{'x' * 150}-{i}" if i else f"./short/{i:06}")
                fields = json.dumps({"question": question, "answer": answer}).encode()
                for name, content in [(f"{key}.{ending}", data), (f"{key}.json", fields)]:
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        with tarfile.open(path / f"{layout}.tar") as archive:
            members = {m.name: archive.extractfile(m).read() for m in archive}
        for name in (n for n in members if not n.endswith(".json")):
            key = name.rpartition(".")[0]
            fields = json.loads(members[key + ".json"])
            plain = key.removeprefix("./")
            expect(f"tar/{layout}.tar", f"tar/{layout}.tar:{plain}", plain.rpartition("/")[0],
                   fields["question"], fields["answer"], [members[name]])


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    for make in (make_csv, make_jsonl, make_parquet, make_llava, make_questions, make_vlmevalkit,
                 make_mme, make_messages, make_tar):
        make()
    text = json.dumps(expected, ensure_ascii=False, indent=1)
    (OUT / "expected.json").write_text(text + "\n", encoding="utf-8")
    size = sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file())
    print(f"{sum(map(len, expected.values()))} samples in {len(expected)} sets, {size} bytes")


if __name__ == "__main__":
    main()
