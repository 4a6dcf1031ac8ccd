"""The tokenizer: sentencepiece BPE of 640 pieces with byte fallback, and its Hugging Face twin."""

import io
import json
import random
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from .questions import TYPES, ask, prompt

PIECES = 640
BOS, EOS = 1, 2
SPECIAL = {0: "<unk>", BOS: "<s>", EOS: "</s>", PIECES: "<image>", PIECES + 1: "<pad>"}
IMAGE_TOKEN, PAD_TOKEN = PIECES, PIECES + 1
VOCABULARY = 704  # rows of the embedding: rounded up to a multiple of 64, as the hub's LLaVA checkpoints are

# Pieces for text that is not about digits, so that any prompt has a fair spelling.
PANGRAMS = [
    "The quick brown fox jumps over the lazy dog.",
    "Describe the picture in detail, please!",
    'Pack my box with five dozen liquor jugs; (really) "quoted" - it\'s fine & OK?',
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz 0123456789 .,;:!?'\"()-/\n",
]


def corpus():
    """The lines the pieces are learned from. Always the same: a vocabulary belongs to the architecture, not the seed."""
    draws = random.Random(0)
    lines = []
    system = prompt("").split(" <image>")[0]
    for _ in range(4000):
        digits = [draws.randrange(10) for _ in range(9)]
        colors = [draws.randrange(6) for _ in range(9)]
        asked = None
        while asked is None:
            asked = ask(digits, colors, draws.choice(TYPES), draws)
        question, answer = asked
        lines += [system, f"{question} ASSISTANT: {answer}", question, answer]
    return "\n".join(lines + PANGRAMS * 20).split("\n")


def write_tokenizer(folder):
    """Trains the tokenizer and writes its four files as `llava-hf/llava-1.5-7b-hf` has them."""
    folder = Path(folder)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()),
        model_writer=model,
        model_type="bpe",
        vocab_size=PIECES,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        character_coverage=1.0,
        unk_id=0,
        bos_id=BOS,
        eos_id=EOS,
        pad_id=-1,
        hard_vocab_limit=False,
        allow_whitespace_only_pieces=True,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    twin(sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())).save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG)
    write_json(folder / "special_tokens_map.json", SPECIAL_TOKENS_MAP)


def twin(pieces):
    """The `tokenizers` model that splits exactly as sentencepiece does, in the legacy Llama shape.

    Sentencepiece merges the pair whose joined piece has the best score, so the merge list is every split of every piece
    into two pieces, best score first.
    """
    size = pieces.vocab_size()
    vocabulary = {pieces.id_to_piece(index): index for index in range(size)}
    merges = []
    for piece, index in vocabulary.items():
        if pieces.is_control(index) or pieces.is_byte(index) or pieces.is_unknown(index):
            continue
        splits = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        splits = [(left, right) for left, right in splits if left in vocabulary and right in vocabulary]
        splits.sort(key=lambda split: (vocabulary[split[0]], vocabulary[split[1]]))
        merges += [(pieces.get_score(index), split) for split in splits]
    merges.sort(key=lambda merge: merge[0], reverse=True)

    tokenizer = Tokenizer(
        models.BPE(vocabulary, [split for _, split in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in SPECIAL.values()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", BOS)]
    )
    return tokenizer


class PromptTokens:
    """Token ids of prompts and answers, cut where training needs them: before the image, after it, and the answer."""

    def __init__(self, folder):
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.before_image = self.encode(prompt(""))[: self.encode(prompt("")).index(IMAGE_TOKEN)]
        self.digit_values = {self.tokenizer.token_to_id(str(value)): value for value in range(10)}
        self.cache = {}

    def encode(self, text):
        return self.tokenizer.encode(text).ids

    def question(self, question):
        """Everything between the image and the answer."""
        if question not in self.cache:
            ids = self.encode(prompt(question))
            self.cache[question] = ids[ids.index(IMAGE_TOKEN) + 1 :]
        return self.cache[question]

    def answer(self, answer):
        """The answer as it continues a prompt, and the end token."""
        key = ("answer", answer)
        if key not in self.cache:
            asked, answered = self.encode(prompt("?")), self.encode(prompt("?") + " " + answer)
            if answered[: len(asked)] != asked:
                raise ValueError(f"the answer '{answer}' changes the tokens of the prompt before it")
            self.cache[key] = answered[len(asked) :] + [EOS]
        return self.cache[key]


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1))


SPECIAL_TOKENS_MAP = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "image_token": "<image>",
}
TOKENIZER_CONFIG = {
    "bos_token": "<s>",
    "clean_up_tokenization_spaces": False,
    "eos_token": "</s>",
    "extra_special_tokens": [],
    "image_token": "<image>",
    "model_max_length": 1024,
    "pad_token": "<pad>",
    "padding_side": "left",
    "tokenizer_class": "LlamaTokenizer",
    "unk_token": "<unk>",
    "add_bos_token": True,
    "add_eos_token": False,
    "legacy": True,
    "added_tokens_decoder": {
        str(index): {
            "content": text,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for index, text in SPECIAL.items()
    },
    "processor_class": "LlavaProcessor",
}
