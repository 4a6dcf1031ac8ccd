"""Tiny tokenizers of the kinds that LLaVA checkpoints come with, trained on text made up here.

- `sentencepiece_folder`: a sentencepiece BPE with byte fallback (LLaMA 2): tokenizer.model and the
  tokenizer.json that Hugging Face derives from one;
- `byte_level`: byte-level BPE with the split pattern of Llama 3, Qwen 2, GPT-2 or SmolLM.

Training is deterministic, so the files can be made again byte for byte with the pinned versions.
"""

import io
import itertools
import json
import pathlib

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

DEMO_MODEL = pathlib.Path(__file__).resolve().parents[1] / "demo-llava" / "model"

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def corpus():
    """A few hundred lines: sentences from a small grammar, numbers, code, punctuation, several scripts."""
    subjects = ["The red cat", "A small picture", "My neighbour", "This image", "The assistant", "Nobody", "Her brother's dog"]
    verbs = ["shows", "doesn't see", "describes", "can't find", "has counted", "they'll read", "we've drawn", "likes"]
    objects = ["a blue house", "seven green bottles", "the top left corner", "an old street", "two digits", "it"]
    tails = [".", "!", "?", ", isn't it?", " at 12:45.", " in 1999 or 2024.", " (really)...", " - or not; I'd say so."]
    lines = ["".join([a, " ", b, " ", c, d]) for a, b, c, d in itertools.product(subjects, verbs, objects, tails)][::7]
    lines += [f"def f{i}(x):\n    return x * {i * 37} + {i}\n\n" for i in range(20)]
    lines += ["USER: what is in the image? ASSISTANT: a cat.", "A chat between a curious user and an AI assistant."] * 20
    lines += ["Où est la forêt? Très loin, là-bas, près du café.", "Größe, Straße, Übung, süß und schön.", "¿Qué es esto? ¡Mañana!"] * 8
    lines += ["这是一张图片。图片里有什么？", "これは猫の写真です。", "Что на картинке? Красный дом.", "그림에 무엇이 있나요?"] * 6
    return lines


def byte_level(split, size, specials, begin=None, normal_form=None, ignore_merges=False):
    """A byte-level BPE of at most `size` entries; `specials` follow the trained ones. `begin` is put before every text."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normal_form == "NFC":
        tokenizer.normalizer = normalizers.NFC()
    if split is None:  # GPT-2: the pattern is built into the ByteLevel step
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    elif split == "digits":  # SmolLM: the same behind single digits
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(split), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in specials])
    steps = [processors.ByteLevel(trim_offsets=False)]
    if begin:
        steps.append(processors.TemplateProcessing(
            single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, tokenizer.token_to_id(begin))]
        ))
    tokenizer.post_processor = processors.Sequence(steps)
    return tokenizer


def llama3(size=600):
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<image>"]
    return byte_level(LLAMA3_SPLIT, size, specials, begin="<|begin_of_text|>", ignore_merges=True)


def qwen2(size=560, more=()):
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", *more]
    return byte_level(QWEN2_SPLIT, size, specials, normal_form="NFC")


def gpt2(size=600):
    return byte_level(None, size, ["<|endoftext|>"])


def smollm(size=560):
    return byte_level("digits", size, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def train_sentencepiece(size):
    """-> the bytes of a tokenizer.model with LLaMA's settings (byte fallback, digits apart, dummy prefix, no normalising).

    Trained on the ASCII lines only: 259 special and byte pieces leave little room, other scripts fall back to bytes.
    """
    written = io.BytesIO()  # not a file: its path would go into the model
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line.replace("\n", " ") for line in corpus() if line.isascii()), model_writer=written,
        model_type="bpe", vocab_size=size, byte_fallback=True, split_digits=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, add_dummy_prefix=True, character_coverage=1.0, unk_id=0, bos_id=1, eos_id=2,
        pad_id=-1, hard_vocab_limit=False, allow_whitespace_only_pieces=True, num_threads=1, minloglevel=2,
    )
    return written.getvalue()


def from_sentencepiece(model, added):
    """The tokenizer.json that Hugging Face makes of a LLaMA `tokenizer.model`, in the legacy form llava-1.5 has.

    A merge exists for every way to split a piece into two pieces; merges are ordered by the piece's score,
    then by the ids of the halves. `added` become special tokens after the trained pieces.
    """
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocabulary = {pieces.id_to_piece(i): i for i in range(pieces.vocab_size())}
    merges = []
    for piece, index in vocabulary.items():
        if pieces.is_control(index) or pieces.is_byte(index) or pieces.is_unknown(index):
            continue
        halves = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        found = [(a, b) for a, b in halves if a in vocabulary and b in vocabulary]
        found.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
        merges += [(-pieces.get_score(index), pair) for pair in found]
    merges.sort(key=lambda entry: entry[0])  # stable: keeps the order of the halves

    tokenizer = Tokenizer(models.BPE(
        vocabulary, [pair for _, pair in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True
    ))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)
    ])
    specials = ["<unk>", "<s>", "</s>", *added]
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in specials])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer


LLAMA_CONFIG = {
    "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
    "clean_up_tokenization_spaces": False, "legacy": True, "model_max_length": 1024, "tokenizer_class": "LlamaTokenizer",
}
LLAMA3_CONFIG = {
    "bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "clean_up_tokenization_spaces": False,
    "model_max_length": 1024, "tokenizer_class": "PreTrainedTokenizerFast",
}
QWEN2_CONFIG = {
    "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None,
    "clean_up_tokenization_spaces": False, "model_max_length": 1024, "tokenizer_class": "Qwen2Tokenizer",
}


def write_json(path, value, indent=1):
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def write_tokenizer(tokenizer, folder, config, sentencepiece_model=None):
    """tokenizer.json and tokenizer_config.json (with the added tokens spelled out, as the hub's files have it)."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = json.loads(tokenizer.to_str())
    write_json(folder / "tokenizer.json", raw, indent=None)
    added = {
        str(token["id"]): {key: value for key, value in token.items() if key != "id"} for token in raw["added_tokens"]
    }
    write_json(folder / "tokenizer_config.json", {**config, "added_tokens_decoder": added})
    if sentencepiece_model:
        (folder / "tokenizer.model").write_bytes(sentencepiece_model)
