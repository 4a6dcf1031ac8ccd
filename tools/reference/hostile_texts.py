"""Ten thousand texts that tokenizers have trouble with, the same here and in Tests/TestSupport/HostileTexts.swift.

A text joins parts: texts of `make_tokenizer_cases.py`, some of them repeated, and runs of code points of many blocks, by a
SplitMix64 whose seed is the text's number. The last ones are single lines of 100 kB, four of them one part repeated.
`digest` folds ids to 16 bits, so that a fixture holds all texts of a tokenizer in 20 kB.
"""

import struct

import make_tokenizer_cases

COUNT = 10_000
LONG = 10
LONG_BYTES = 100_000

# First and last code points; assigned since Unicode 12 or for good unassigned, so that every library agrees on them.
RANGES = [
    (0x01, 0x1F), (0x20, 0x7E), (0x7F, 0x9F), (0xA0, 0x24F), (0x300, 0x36F), (0x391, 0x3A1), (0x400, 0x4FF), (0x5D0, 0x5EA),
    (0x660, 0x669), (0x905, 0x939), (0xE01, 0xE3A), (0x1100, 0x1112), (0x1161, 0x1175), (0x2000, 0x200F), (0x2028, 0x202F),
    (0x2150, 0x2188), (0x2460, 0x249B), (0x2581, 0x2583), (0x3000, 0x3011), (0x3041, 0x3096), (0x4E00, 0x4E7F), (0xAC00, 0xAC7F),
    (0xE000, 0xE00F), (0xFE00, 0xFE0F), (0xFF01, 0xFF5E), (0xFFF9, 0xFFFD), (0x1D400, 0x1D454), (0x1F1E6, 0x1F1FF),
    (0x1F3FB, 0x1F3FF), (0x1F600, 0x1F64F), (0x20000, 0x2003F), (0xE0020, 0xE007F), (0x10FFF0, 0x10FFFD),
]
REPEATED = ["a", "the ", "\u6f22", "\u0301\u0323"]


class SplitMix64:
    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        """The remainder of the next number."""
        mask = (1 << 64) - 1
        self.state = self.state + 0x9E3779B97F4A7C15 & mask
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        return (z ^ z >> 31) % bound


def part(random, texts):
    if random.below(4) == 0:
        first, last = RANGES[random.below(len(RANGES))]
        return "".join(chr(first + random.below(last - first + 1)) for _ in range(1 + random.below(6)))
    text = texts[random.below(len(texts))]
    return text * (2 + random.below(4)) if random.below(16) == 0 else text


def texts():
    # A NUL ends text in some libraries.
    known = [text for text in make_tokenizer_cases.TEXTS if "\0" not in text]
    lines = [text for text in known if "\n" not in text and "\r" not in text and text]
    result = []
    for number in range(COUNT):
        random = SplitMix64(number)
        place = number - (COUNT - LONG)
        if place < 0:
            text = "".join(part(random, known) for _ in range(1 + random.below(8)))
        elif place < len(REPEATED):
            text = REPEATED[place] * (LONG_BYTES // len(REPEATED[place].encode()))
        else:
            parts, size = [], 0
            while size < LONG_BYTES:
                parts.append(lines[random.below(len(lines))])
                size += len(parts[-1].encode())
            text = "".join(parts)
        result.append(text)
    return result


def digest(ids):
    """FNV-1a of the ids as u32, its halves joined by exclusive or twice."""
    value = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(ids)}I", *ids):
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    value ^= value >> 32
    return (value ^ value >> 16) & 0xFFFF


def digests(encode):
    """The digests of all texts, little-endian."""
    return struct.pack(f"<{COUNT}H", *(digest(encode(text)) for text in texts()))
