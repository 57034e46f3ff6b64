"""Patterns over text: `*` stands for any number of characters; a backslash makes the next one literal."""

from __future__ import annotations

import re

_PIECE = re.compile(r"\\.|\*|[^\\*]+|\\$", re.DOTALL)


def literal(text: str) -> str:
    """The pattern that fits `text` and nothing else."""
    return re.sub(r"([\\*])", r"\\\1", text)


def fits(pattern: str, text: str) -> bool:
    """Whether `pattern` covers the whole of `text`. Takes time linear in `text` for each `*`."""
    return between(parts(pattern), text)


def between(parts: list[str], text: str) -> bool:
    """Whether `text` consists of `parts`, in order, with any characters between them."""
    first, *others = parts
    if not others:
        return text == first
    *middle, last = others
    if not (text.startswith(first) and text.endswith(last)) or len(text) < len(first) + len(last):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def parts(pattern: str) -> list[str]:
    """The texts between the stars."""
    found = [""]
    for piece in _PIECE.findall(pattern):
        if piece == "*":
            found.append("")
        else:
            found[-1] += piece[1:] if piece.startswith("\\") and len(piece) > 1 else piece
    return found
