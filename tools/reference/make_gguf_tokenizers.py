"""Writes vocabularies as GGUF files and what they make of hostile texts: python make_gguf_tokenizers.py

Into Tests/Fixtures/gguf/tokenizers/, with the `gguf` package:

- `llama3.gguf`, `qwen2.gguf`, `gpt2.gguf`, `smollm.gguf`: byte-level BPE, trained in tiny_tokenizers.py; oracle: tokenizers;
- `demo.gguf`: the demo model's SentencePiece vocabulary with its special tokens; oracle: tokenizers, on its tokenizer.json;
- `small.gguf`: ../tokenizers/small.model, whose oracle, sentencepiece, knows no special tokens in text;
- beside each a `*.digests`: a u16 for each text of hostile_texts.py.
"""

import argparse
import json
import pathlib

import gguf
import sentencepiece
from gguf import TokenType
from tokenizers import Tokenizer

import hostile_texts
import make_gguf
import tiny_tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "Tests" / "Fixtures" / "gguf" / "tokenizers"


def new_writer(name):
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", "llama")
    writer.add_chat_template("{{ messages[0].content }}")
    return writer


def finish(name, writer, encode):
    make_gguf.finish(writer)
    (OUT / f"{name}.digests").write_bytes(hostile_texts.digests(encode))


def write_byte_level(name, tokenizer, config):
    writer = new_writer(name)
    make_gguf.add_tokenizer(writer, json.loads(tokenizer.to_str()), config)
    finish(name, writer, lambda text: tokenizer.encode(text).ids)


def add_sentencepiece(writer, pieces, added=()):
    """As llama.cpp's converter does; `added` special tokens follow."""
    tokens, scores, kinds = [], [], []
    for index in range(pieces.vocab_size()):
        tokens.append(pieces.id_to_piece(index))
        scores.append(pieces.get_score(index))
        kinds.append(
            TokenType.UNKNOWN if pieces.is_unknown(index) else TokenType.CONTROL if pieces.is_control(index)
            else TokenType.BYTE if pieces.is_byte(index) else TokenType.NORMAL)
    for text in added:
        tokens.append(text)
        scores.append(-1000.0)
        kinds.append(TokenType.CONTROL)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def write_small():
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(ROOT / "Tests/Fixtures/tokenizers/small.model"))
    writer = new_writer("small")
    add_sentencepiece(writer, pieces)
    finish("small", writer, pieces.encode)


def write_demo():
    folder = ROOT / "tools/demo-llava/model"
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    added = [tokenizer.id_to_token(index) for index in range(pieces.vocab_size(), tokenizer.get_vocab_size())]
    writer = new_writer("demo")
    add_sentencepiece(writer, pieces, added)
    finish("demo", writer, lambda text: tokenizer.encode(text).ids)


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    write_byte_level("llama3", tiny_tokenizers.llama3(), tiny_tokenizers.LLAMA3_CONFIG)
    write_byte_level("qwen2", tiny_tokenizers.qwen2(), tiny_tokenizers.QWEN2_CONFIG)
    write_byte_level("gpt2", tiny_tokenizers.gpt2(), {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"})
    write_byte_level("smollm", tiny_tokenizers.smollm(), {"tokenizer_class": "SmolLM", "eos_token": "<|im_end|>"})
    write_small()
    write_demo()


if __name__ == "__main__":
    main()
