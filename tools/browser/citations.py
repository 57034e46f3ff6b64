"""Citations in an answer, 【6†L9-L11】: found while it streams, resolved against the session's pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .page import Page, without_links

_MARK = re.compile(r"【(\d{1,9})†L(\d{1,9})(?:[-–]L?(\d{1,9}))?】")
# A beginning of a mark at the end of what has come so far.
_BEGUN = re.compile(r"【(?:\d{1,9}(?:†(?:L(?:\d{1,9}(?:[-–](?:L?\d{0,9})?)?)?)?)?)?\Z")


@dataclass(frozen=True, slots=True)
class Mark:
    """A citation as the model wrote it: lines `first` to `last` of the page of `cursor`."""

    text: str
    cursor: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Citation:
    """A mark that holds: the page, the lines and what they say. `url` is where the page was found."""

    mark: Mark
    title: str
    url: str
    quote: str


@dataclass(frozen=True, slots=True)
class Unverified:
    """A mark that does not hold, and why, in a few words."""

    mark: Mark
    reason: str


class Marks:
    """Takes an answer apart as it streams. What may become a mark is held back until that is decided."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> list[str | Mark]:
        """The pieces that `text` completes, in order; joined they are the answer."""
        text = self._held + text
        begun = _BEGUN.search(text)
        end = begun.start() if begun else len(text)
        self._held = text[end:]
        return split(text[:end])

    def finish(self) -> list[str | Mark]:
        """What was held back and has not become a mark."""
        held, self._held = self._held, ""
        return [held] if held else []


def split(text: str) -> list[str | Mark]:
    """A whole text as plain pieces and marks."""
    pieces: list[str | Mark] = []
    end = 0
    for found in _MARK.finditer(text):
        if found.start() > end:
            pieces.append(text[end : found.start()])
        first = int(found[2])
        pieces.append(Mark(found[0], int(found[1]), first, int(found[3] or first)))
        end = found.end()
    if end < len(text):
        pieces.append(text[end:])
    return pieces


def resolve(mark: Mark, pages: Sequence[Page]) -> Citation | Unverified:
    """What `mark` cites of `pages`, those of the browser by cursor."""
    if mark.cursor >= len(pages):
        return Unverified(mark, "no such page was opened")
    page = pages[mark.cursor]
    if page.is_search:
        return Unverified(mark, "these are search results, not a page that was read")
    if not mark.first <= mark.last < len(page.lines):
        return Unverified(mark, "the page has no such lines")
    quote = without_links(page.lines)[mark.first : mark.last + 1]
    origin = page.found_in or page
    return Citation(mark, origin.title, origin.url, "\n".join(quote).strip())
