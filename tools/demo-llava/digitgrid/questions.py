"""Questions about a scene, and the six tasks they are grouped into."""

from .scenes import COLORS

CELLS = [
    "top left", "top middle", "top right",
    "middle left", "center", "middle right",
    "bottom left", "bottom middle", "bottom right",
]  # fmt: skip
ROWS = ["top", "middle", "bottom"]

# Tasks as the question sets have them (one folder each), with the question types that take turns inside.
TASKS = {
    "position": ["pos_digit", "pos_color"],
    "search": ["digit_color", "digit_pos", "exist"],
    "read-row": ["row"],
    "read-all": ["all"],
    "colors": ["row_color"],
    "relation": ["neighbor", "max_row"],
}


def prompt(question):
    """The whole prompt of a one-image turn; the answer follows after a space."""
    return f"A chat between a curious user and an AI assistant. USER: <image>\n{question} ASSISTANT:"


def ask(digits, colors, kind, random):
    """A random question of type `kind` about a scene.

    `digits`, `colors`: lists of nine. Returns (question, answer), or None where the scene cannot be asked this: a digit
    is only searched for where it occurs exactly once.
    """
    return QUESTIONS[kind](digits, colors, random)


def pos_digit(digits, colors, random):
    cell = random.randrange(9)
    return f"What digit is in the {CELLS[cell]}?", str(digits[cell])


def pos_color(digits, colors, random):
    cell = random.randrange(9)
    return f"What color is the {CELLS[cell]} cell?", COLORS[colors[cell]]


def digit_color(digits, colors, random):
    if not (digit := unique_digit(digits, random)):
        return None
    return f"What color is the cell with the {digit[0]}?", COLORS[colors[digit[1]]]


def digit_pos(digits, colors, random):
    if not (digit := unique_digit(digits, random)):
        return None
    return f"Where is the {digit[0]}?", CELLS[digit[1]]


def count_color(digits, colors, random):
    present = sorted(set(colors))
    color = random.choice(present) if random.random() < 0.8 else random.randrange(6)
    return f"How many cells are {COLORS[color]}?", str(colors.count(color))


def exist(digits, colors, random):
    if random.random() < 0.5:
        digit = random.choice(digits)
    else:
        absent = [digit for digit in range(10) if digit not in digits]
        if not absent:
            return None
        digit = random.choice(absent)
    return f"Is there a {digit} in the image?", "yes" if digit in digits else "no"


def row(digits, colors, random):
    row = random.randrange(3)
    return f"Read the {ROWS[row]} row.", "".join(map(str, digits[3 * row : 3 * row + 3]))


def all_digits(digits, colors, random):
    return "List all the digits in reading order.", "".join(map(str, digits))


def neighbor(digits, colors, random):
    if not (digit := unique_digit(digits, random)):
        return None
    value, cell = digit
    neighbors = []
    if cell % 3 > 0:
        neighbors.append(("to the left of", cell - 1))
    if cell % 3 < 2:
        neighbors.append(("to the right of", cell + 1))
    if cell >= 3:
        neighbors.append(("above", cell - 3))
    if cell < 6:
        neighbors.append(("below", cell + 3))
    where, other = random.choice(neighbors)
    return f"Which digit is {where} the {value}?", str(digits[other])


def max_row(digits, colors, random):
    row = random.randrange(3)
    return f"What is the largest digit in the {ROWS[row]} row?", str(max(digits[3 * row : 3 * row + 3]))


def row_color(digits, colors, random):
    row = random.randrange(3)
    return f"What colors are in the {ROWS[row]} row?", " ".join(COLORS[color] for color in colors[3 * row : 3 * row + 3])


def unique_digit(digits, random):
    """(digit, its cell) for a random digit that occurs exactly once, or None where no digit does."""
    unique = [digit for digit in range(10) if digits.count(digit) == 1]
    if not unique:
        return None
    digit = random.choice(unique)
    return digit, digits.index(digit)


QUESTIONS = {
    "pos_digit": pos_digit,
    "pos_color": pos_color,
    "digit_color": digit_color,
    "digit_pos": digit_pos,
    "count_color": count_color,
    "exist": exist,
    "row": row,
    "all": all_digits,
    "neighbor": neighbor,
    "max_row": max_row,
    "row_color": row_color,
}
TYPES = list(QUESTIONS)
