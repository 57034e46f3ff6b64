"""Words and values without meaning, which only copying can get right."""

from __future__ import annotations

import random

from .phrasing import is_held_out
from .syllables import FIRST_NAMES, invent_name, invent_syllables
from .vocabulary import DEEDS, PLACES, THINGS

COLOURS = ("red", "blue", "green", "yellow", "black", "white", "purple", "orange", "grey", "pink", "brown")


def invent_word(rng: random.Random, held_out: bool = False) -> str:
    """A lower-case noun of the wanted side of the split: half are English, half consist of syllables."""
    while True:
        word = rng.choice(THINGS) if rng.random() < 0.5 else invent_syllables(rng)
        if is_held_out(word) is held_out:
            return word


def invent_thing(rng: random.Random) -> str:
    """A noun, as in names in programs and headings: mostly English."""
    return rng.choice(THINGS) if rng.random() < 0.75 else invent_syllables(rng)


def invent_deed(rng: random.Random) -> str:
    """A verb, as in names in programs: mostly English."""
    return rng.choice(DEEDS) if rng.random() < 0.75 else invent_syllables(rng)


def invent_label(rng: random.Random, held_out: bool = False) -> str:
    """A label: a place, a name, a word, a code, sometimes of two or three words."""
    while True:
        kind = rng.random()
        if kind < 0.15:
            label = rng.choice(PLACES)
        elif kind < 0.3:
            label = rng.choice(FIRST_NAMES)
        elif kind < 0.55:
            label = invent_syllables(rng).capitalize()
        elif kind < 0.65:
            label = invent_syllables(rng)
        elif kind < 0.73:
            label = rng.choice(THINGS)
        elif kind < 0.83:
            label = " ".join(rng.choice(THINGS) for _ in range(rng.choice((2, 2, 3))))
        elif kind < 0.92:
            label = f"{invent_syllables(rng).capitalize()} {invent_syllables(rng).capitalize()}"
        else:
            label = invent_code(rng)
        if is_held_out(label) is held_out:
            return label


def invent_code(rng: random.Random) -> str:
    """A code of letters and digits, like those of orders, rooms and licence plates."""
    letters = "".join(rng.choices("ABCDEFGHKLMNPRSTVWXZ", k=rng.randint(1, 3)))
    return letters + rng.choice(("-", "", "-")) + str(rng.randrange(10, 10 ** rng.randint(2, 5)))


def invent_integer(rng: random.Random, held_out: bool = False) -> int:
    """An integer of 1 to 4 digits, mostly short."""
    while True:
        value = rng.randrange(10 ** rng.choice((1, 2, 2, 3, 4)))
        if value < 1000 or is_held_out(str(value)) is held_out:
            return value


def invent_decimal(rng: random.Random) -> float:
    """A short decimal."""
    return round(rng.uniform(0, 10 ** rng.randint(1, 3)), rng.choice((1, 1, 2)))


def invent_date(rng: random.Random) -> str:
    """A date as YYYY-MM-DD."""
    return f"{rng.randint(1990, 2035)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def invent_phrase(rng: random.Random) -> str:
    """A phrase of two to seven words without a common meaning."""
    return " ".join(invent_word(rng) for _ in range(rng.randint(2, 7)))


def invent_person(rng: random.Random, held_out: bool = False) -> str:
    """A person's name."""
    return invent_name(rng, held_out)
