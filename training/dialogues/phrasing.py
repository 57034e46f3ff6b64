"""Texts with blanks: which of them training never sees, and the spans that the model has to copy."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

# Private-use characters around a copied span: they never reach the tokenizer.
COPY_BEGIN, COPY_END = "\ue000", "\ue001"


def words(text: str) -> list[str]:
    """The words of a long literal."""
    return text.split()


def phrases(text: str) -> list[str]:
    """The phrases of a long literal: between bars, line ends ignored."""
    return text.replace("\n", "").strip("|").split("|")


def copied(text: str) -> str:
    """Mark `text` as something the model must copy from its context, exactly."""
    return f"{COPY_BEGIN}{text}{COPY_END}"


def plain(text: str) -> str:
    """The text without marks."""
    return text.replace(COPY_BEGIN, "").replace(COPY_END, "")


def is_held_out(content: str) -> bool:
    """Whether a name, a number, an expression is kept out of training: one in ten, by checksum."""
    return zlib.crc32(content.lower().encode()) % 10 == 0


_SALT = "phrasing 2401: "


def is_unseen(phrasing: str) -> bool:
    """Whether a phrasing is kept out of training: one in ten, by checksum."""
    return zlib.crc32(f"{_SALT}{phrasing.lower().rstrip('.?! ')}".encode()) % 10 == 0


Grid = tuple[Sequence[str], ...]
"""Columns of pieces: one of each, one after the other, is a phrasing."""


def column(text: str) -> tuple[str, ...]:
    """The pieces of a column that may also be left out."""
    return ("", *phrases(text))


def casual(rng: random.Random, text: str) -> str:
    """The text as people type it: sometimes all lower case, sometimes without its last mark."""
    if rng.random() < 0.4:
        text = text.lower()
    elif rng.random() < 0.1:
        text = text[:1].upper() + text[1:]
    if text and text[-1] in ".?!" and rng.random() < 0.4:
        text = text[:-1]
    elif text and text[-1].isalnum() and rng.random() < 0.15:
        text += rng.choice(".?!")
    return text
