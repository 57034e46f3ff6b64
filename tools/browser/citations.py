"""Citations in an answer, 【6†L9-L11】: found while it streams, resolved against what the model was shown."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .page import without_links
from .page_view import PageView, read_view

_MARK = re.compile(r"【(\d{1,9})†L(\d{1,9})(?:[-–]L?(\d{1,9}))?】")
# The beginning of a mark at the end of the text so far.
_BEGUN = re.compile(r"【(?:\d{1,9}(?:†(?:L(?:\d{1,9}(?:[-–](?:L?\d{0,9})?)?)?)?)?)?\Z")

_LINK_LINES = 6  # lines over which the mark of a link may be wrapped


@dataclass(frozen=True, slots=True)
class Mark:
    """A citation as the model wrote it: lines `first` to `last` of the page of `cursor`."""

    text: str
    cursor: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Citation:
    """A resolved mark: the page, the lines and their text. `url` is the page's address."""

    mark: Mark
    title: str
    url: str
    quote: str


@dataclass(frozen=True, slots=True)
class Unverified:
    """A mark that cannot be resolved, and the reason in a few words."""

    mark: Mark
    reason: str


class Marks:
    """Splits an answer as it streams. The possible beginning of a mark is withheld until it is decided."""

    def __init__(self) -> None:
        self._held = ""

    @property
    def pending(self) -> bool:
        """True while something is held back."""
        return bool(self._held)

    def feed(self, text: str) -> list[str | Mark]:
        """The pieces that `text` completes, in order; all pieces joined are the answer."""
        text = self._held + text
        begun = _BEGUN.search(text)
        end = begun.start() if begun else len(text)
        self._held = text[end:]
        return split(text[:end])

    def finish(self) -> list[str | Mark]:
        """The withheld text, which has not become a mark."""
        held, self._held = self._held, ""
        return [held] if held else []


def split(text: str) -> list[str | Mark]:
    """The plain pieces and the marks of a whole text."""
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


class ShownPages:
    """The pages of a conversation by cursor, with the lines that were shown to the model.

    They are read from the tools' messages, so that an old conversation is resolved like a current one, and a
    text that the model cannot have read is no source.
    """

    def __init__(self) -> None:
        self._pages: dict[int, PageView] = {}
        self._lines: dict[str, dict[int, str]] = {}  # by address: the lines of all views of a page

    def read(self, name: str, output: str) -> None:
        """Take note of the output of the tool `name`; tools other than the browser are ignored."""
        page = read_view(name, output)
        if page is not None:
            self._pages[page.cursor] = page
            self._lines.setdefault(page.url or str(page.cursor), {}).update(page.lines)

    def resolve(self, mark: Mark) -> Citation | Unverified:
        """The citation of `mark`."""
        page = self._pages.get(mark.cursor)
        if page is None:
            return Unverified(mark, "no such page was opened")
        if not page.url:
            return Unverified(mark, "these are search results, not a page that was read")
        if not mark.first <= mark.last <= page.last:
            return Unverified(mark, "the page has no such lines")
        lines = self._lines[page.url] | page.lines
        cited = range(mark.first, mark.last + 1)
        if any(number not in lines for number in cited):
            return Unverified(mark, "the model was not shown these lines")
        # With the lines around, for a link's mark may begin before the cited ones and end after them.
        around = range(mark.first - _LINK_LINES, mark.last + 1 + _LINK_LINES)
        quote = without_links([lines.get(number, "") for number in around])[_LINK_LINES:-_LINK_LINES]
        return Citation(mark, page.title, page.origin, "\n".join(quote).strip())
