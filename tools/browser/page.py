"""A page as the model sees it: numbered lines, and links by number."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

WIDTH = 80
"""Columns at which a page is wrapped."""

_LINK = re.compile(r"【\d+†([^†】]*)(†[^】]*)?】")
# textwrap's time is quadratic in the length of a word; no real word is this long.
_LONGEST_LINE = 8_000


@dataclass(frozen=True, slots=True)
class Link:
    """The target of a link: `url`, and a `line` there if it is a match of a find."""

    url: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a session.

    `lines` are wrapped at `WIDTH`; `links[i]` is the link of the mark 【i†…】. The page of a search has no
    `url`; the page of a find has `found_in`, the page that was searched. A page that is `past` was shown
    before the conversation was resumed, and little but its address is known.
    """

    url: str
    title: str
    lines: Sequence[str]
    links: Sequence[Link] = ()
    found_in: Page | None = None
    past: bool = False
    fetched: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def is_search(self) -> bool:
        """Whether the page shows the results of a search."""
        return not self.url


def wrapped(text: str) -> list[str]:
    """The lines of `text` at `WIDTH` columns, whitespace kept."""
    lines: list[str] = []
    for line in text.split("\n"):
        for start in range(0, max(len(line), 1), _LONGEST_LINE):
            piece = line[start : start + _LONGEST_LINE]
            lines += textwrap.wrap(piece, WIDTH, replace_whitespace=False, drop_whitespace=False) or [""]
    return lines


def without_links(lines: Sequence[str]) -> list[str]:
    """The same lines with each link's mark replaced by its text."""

    def text(mark: re.Match[str]) -> str:
        # A mark may be wrapped within its domain; the number of lines must not change.
        return str(mark[1]) + "\n" * (mark[2] or "").count("\n")

    return _LINK.sub(text, "\n".join(lines)).split("\n")
