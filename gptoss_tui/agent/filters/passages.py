"""The passages of a text stream, to be judged one by one: whole sentences, short enough to be read live."""

from __future__ import annotations

import re
from collections.abc import Iterator

LEAST = 80
"""The fewest characters of a passage but the last: a filter asked about every "Hm." would be slow."""

MOST = 2_000
"""The most characters of a passage, whether a sentence ends there or not."""

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]*_`]*\s|[。！？]|\n")


class Passages:
    """The passages of a text that comes in pieces; the pieces do not decide where it is cut."""

    def __init__(self) -> None:
        self._text = ""

    @property
    def pending(self) -> bool:
        """True in the middle of a passage."""
        return bool(self._text)

    def add(self, piece: str) -> Iterator[str]:
        """Take the next piece; yields the passages that it completes."""
        self._text += piece
        while end := _end(self._text):
            passage, self._text = self._text[:end], self._text[end:]
            yield passage

    def rest(self) -> Iterator[str]:
        """End the text; yields the last passage, if any text is left."""
        text, self._text = self._text, ""
        if text:
            yield text


def _end(text: str) -> int:
    """The length of the first passage of `text`; 0 when it is not complete."""
    start = text[:MOST]
    for sentence in _SENTENCE_END.finditer(start):
        if sentence.end() >= LEAST:
            return sentence.end()
    if len(text) < MOST:
        return 0
    blanks = [blank.end() for blank in re.finditer(r"\s", start)]
    return blanks[-1] if blanks else MOST
