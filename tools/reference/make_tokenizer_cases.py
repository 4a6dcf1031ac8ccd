"""Writes the tokenizers and what they do to hostile text: python make_tokenizer_cases.py

Into Tests/Fixtures/tokenizers/: `llama3.json`, `qwen2.json`, `gpt2.json` (tokenizer.json files, trained here),
`small.model` (sentencepiece, trained here) and per tokenizer a `*.cases.json`:

    {"tokenizer": path from the repository's root, "oracle": "tokenizers 0.23.3" | "sentencepiece 0.2.3",
     "begin_id": id that the post-processor puts first or null,
     "cases": [{"text", "ids", "decoded", "decoded_plain"}]}

- `ids` include the begin token where the tokenizer adds one (tokenizer.json), never for sentencepiece;
- `decoded` keeps special tokens, `decoded_plain` skips them; sentencepiece has `decoded` only;
- sentencepiece knows no special tokens in text: `<s>` there is four characters or so, as in the slow LLaMA tokenizer.
"""

import argparse
import json
import pathlib

import sentencepiece
import tokenizers
from tokenizers import Tokenizer

import tiny_tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "Tests" / "Fixtures" / "tokenizers"
DEMO = "tools/demo-llava/model"

TEXTS = [
    # nothing, spaces, line ends
    "", " ", "  ", "   ", "        ", "\n", "\n\n", "\n\n\n\n", " \n", "\n ", " \n ", "\t", "\t\t", " \t ", "\r", "\r\n", "\r\n\r\n",
    "\n\r", "a\r\nb", "a \n b", "a  \n\n  b", "\u00a0", "a\u00a0b", "\u2003a\u3000b", "\u200b", "a\u200bb", "\u0085", "\u2028x\u2029",
    # words and spaces around them
    "a", "A", " a", "a ", " a ", "  a", "a  ", "a b", "a  b", "a   b", "Hello, world!", " Hello", "Hello ", "hello\n", "\nhello",
    "The quick brown fox jumps over the lazy dog.", "A chat between a curious user and an AI assistant.", "camelCaseWord",
    "snake_case_word", "UPPERCASE", "supercalifragilisticexpialidocious", "x" * 100, "ab" * 60, "a " * 50, " " * 33, "\n" * 20,
    "-" * 40, "=" * 7, "._" * 10, "the" * 30,
    # apostrophes
    "it's", "IT'S", "don't", "we've I'll I'd you're I'm", "'s", "''s", "' s", "'S 'T 'RE 'VE 'M 'LL 'D", "rock 'n' roll",
    "it\u2019s", "'", "''", "x's's", "'t'", "'ſ",
    # digits
    "0", "7", "42", "123", "1234", "12345", "1234567890", "3.14159", "1,000,000", "1e-5", "0x1F", "12 345", "a1b2", "1a", "2nd",
    "٣٤٥", "१२३", "²³¹", "½", "Ⅳ", "①②",
    # punctuation
    "!", "!!!", "...", "…", "?!", "(a)", "[x]{y}<z>", "a-b", "a--b", "--", "e.g.", "U.S.A.", "http://example.com/?a=b&c=d#e",
    "user@example.com", "\"quoted\"", "«guillemets»", "“curly”", "a/b\\c", "$5.00", "100%", "#tag", "!\n", "!\n\n", ".\n.", " !", "! ",
    "```python\nprint('x')\n```", "def f(x):\n    return x * 2\n", "\t\tif x:\n\t\t\ty = 1", "{\"a\": [1, 2]}", "a;b;c",
    # other scripts
    "café", "cafe\u0301", "Größe", "Straße", "naïve", "Ångström", "A\u030a", "İstanbul", "ǅ", "ﬁ", "ﬀ", "Ω", "Что это?",
    "这是一张图片。", "图片里有什么？", "漢字かな交じり文", "これは猫です", "그림", "\u1100\u1161\u11a8", "مرحبا بالعالم", "שלום", "हिन्दी", "ไทย", "ᚠᚢᚦ",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𠮷野家", "mixed 中文 and English 文字", "a\u0300\u0301\u0302\u0303", "\u0301", "e\u0301\u0323", "\u0323\u0301e", "Å", "\u212b",
    # emoji
    "😀", "😀😀", "a😀b", " 😀 ", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "❤️", "☺", "🏳️‍🌈", "1️⃣",
    # control characters and odd code points
    "\u0000", "a\u0000b", "\u0001\u0002", "\u001b[31mred\u001b[0m", "\u007f", "\ufeff", "\ufffd", "\uffff", "\U0010ffff", "\u00ad", "\u061c",
    "\u202eabc", "\ue000",
    # special tokens inside text
    "<s>", "</s>", "<s></s>", "<unk>", "<pad>", "<image>", "<image><image>", "a<image>b", "a <image> b", " <image> ", "<image>\n",
    "<image>\nWhat is it?", "\n<image>", "x<s>y", "<s> hello </s>", "< s>", "<S>", "<image", "image>", "<<image>>", "<im<image>age>",
    "<|begin_of_text|>", "<|eot_id|>", "<|im_start|>user\nhi<|im_end|>\n", "<|endoftext|>", "<|endoftext", "<|start_header_id|>user<|end_header_id|>\n\nx",
    "<0x0A>", "<0xE6><0xBC><0xA2>", "▁", "▁a", "a▁b", " ▁ ", "▁▁▁", "Ġ", "aĠb", "Ċ",
    "USER: <image>\nWhat digit is in the top left? ASSISTANT:", "A chat. USER: <image> or <image>\nWhich? ASSISTANT: the first</s>USER: Why?",
]


def from_tokenizer_json(path):
    tokenizer = Tokenizer.from_file(str(ROOT / path))
    empty = tokenizer.encode("").ids
    cases = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        cases.append({
            "text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False),
            "decoded_plain": tokenizer.decode(ids, skip_special_tokens=True),
        })
    return {
        "tokenizer": path, "oracle": f"tokenizers {tokenizers.__version__}", "begin_id": empty[0] if empty else None,
        "cases": cases,
    }


def from_sentencepiece(path):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(ROOT / path))
    cases = []
    for text in TEXTS:
        ids = pieces.encode(text)
        cases.append({"text": text, "ids": ids, "decoded": pieces.decode(ids)})
    return {"tokenizer": path, "oracle": f"sentencepiece {sentencepiece.__version__}", "begin_id": None, "cases": cases}


def write(name, result):
    """One case a line, non-ASCII escaped, so that control characters survive every editor."""
    head = json.dumps({key: value for key, value in result.items() if key != "cases"})[:-1]
    lines = ",\n".join(json.dumps(case) for case in result["cases"])
    (OUT / f"{name}.cases.json").write_text(f'{head}, "cases": [\n{lines}\n]}}\n')
    print(f"{name}: {len(result['cases'])} cases")


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    for name, tokenizer in (
        ("llama3", tiny_tokenizers.llama3()), ("qwen2", tiny_tokenizers.qwen2()), ("gpt2", tiny_tokenizers.gpt2())
    ):
        tiny_tokenizers.write_json(OUT / f"{name}.json", json.loads(tokenizer.to_str()), indent=None)
        write(name, from_tokenizer_json(f"Tests/Fixtures/tokenizers/{name}.json"))
    (OUT / "small.model").write_bytes(tiny_tokenizers.train_sentencepiece(352))
    write("small-sentencepiece", from_sentencepiece("Tests/Fixtures/tokenizers/small.model"))
    write("demo", from_tokenizer_json(f"{DEMO}/tokenizer.json"))
    write("demo-sentencepiece", from_sentencepiece(f"{DEMO}/tokenizer.model"))


if __name__ == "__main__":
    main()
