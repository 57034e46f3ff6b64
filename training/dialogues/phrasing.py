"""Texts with blanks: the ones held out of training, and the spans that the model has to copy."""

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
    """The phrases of a long literal, separated by bars; line ends do not count."""
    return text.replace("\n", "").strip("|").split("|")


def copied(text: str) -> str:
    """Mark `text` as a span that the model must copy exactly from its context."""
    return f"{COPY_BEGIN}{text}{COPY_END}"


def plain(text: str) -> str:
    """The text without marks."""
    return text.replace(COPY_BEGIN, "").replace(COPY_END, "")


def is_held_out(content: str) -> bool:
    """Whether a name, a number or an expression is held out of training: one in ten, by checksum."""
    return zlib.crc32(content.lower().encode()) % 10 == 0


_SALT = "phrasing 2401: "


def is_unseen(phrasing: str) -> bool:
    """Whether a phrasing is held out of training: one in ten, by checksum."""
    return zlib.crc32(f"{_SALT}{phrasing.lower().rstrip('.?! ')}".encode()) % 10 == 0


Grid = tuple[Sequence[str], ...]
"""Columns of pieces: a phrasing is one piece of each column, in order."""


def column(text: str) -> tuple[str, ...]:
    """The pieces of an optional column."""
    return ("", *phrases(text))


def casual(rng: random.Random, text: str) -> str:
    """The text as people type it: sometimes in lower case, sometimes without its final punctuation."""
    if rng.random() < 0.4:
        text = text.lower()
    elif rng.random() < 0.1:
        text = text[:1].upper() + text[1:]
    if text and text[-1] in ".?!" and rng.random() < 0.4:
        text = text[:-1]
    elif text and text[-1].isalnum() and rng.random() < 0.15:
        text += rng.choice(".?!")
    return text
