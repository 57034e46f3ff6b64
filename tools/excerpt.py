"""The beginning and the end of a text that is too long to pass on whole."""

from __future__ import annotations

LIMIT = 100_000


def left_out(count: int) -> str:
    """The line in the place of `count` characters that were cut."""
    return f"\n[… {count:,} characters left out …]\n"


def excerpt(text: str, limit: int = LIMIT) -> str:
    """`text` itself up to `limit` characters, else its first four fifths and last fifth around a note."""
    if len(text) <= limit:
        return text
    tail = limit // 5
    head = limit - tail
    return text[:head] + left_out(len(text) - limit) + text[len(text) - tail :]
