"""The view of a page: as many numbered lines as fit a budget of tokens."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from .characters import one_line
from .page import Page

BUDGET = 1024
"""Tokens of one view, line numbers included, unless the model asks for a number of lines."""

MOST_CHARACTERS = 18_000
"""Characters of one view, whatever number of lines is asked for: a tool message has room for little more."""

LONGEST = 8_000  # characters of an address, which with the pattern of a find is longer than a link's
_BATCH = 64  # lines measured at a time

Measure = Callable[[Sequence[str]], Awaitable[Sequence[int]]]
"""Counts the tokens of each text."""


# Three letters or digits, or one character of any other kind; a space goes with the word after it.
_PIECE = re.compile(r"[A-Za-z]{1,3}|[0-9]{1,3}|[^\sA-Za-z0-9]|\s\s+|[^\S ]| (?=[0-9])")


async def estimate(texts: Sequence[str]) -> list[int]:
    """The tokens of each text, estimated without a tokenizer: rather too many than too few."""
    return [len(_PIECE.findall(text)) for text in texts]


def numbered(lines: Sequence[str], first: int) -> list[str]:
    """The lines as the model sees them, `L{n}: text`."""
    return [f"L{number}: {line}" for number, line in enumerate(lines, first)]


async def view(page: Page, cursor: int, loc: int, num_lines: int | None, measure: Measure) -> str:
    """The view of `page`, for the model, from line `loc` on, which must be one of its lines.

    The form is that of gpt-oss's reference browser: `[cursor] title (url)`, the range of lines in bold, an
    empty line, the lines. The line that exceeds the budget is the last one of the view.
    """
    end = loc + 1
    if num_lines is not None:
        end = min(loc + num_lines, len(page.lines))
    else:
        end = await _end(page.lines, loc, measure)
    shown = numbered(page.lines[loc:end], loc)
    characters = 0
    for count, line in enumerate(shown):
        characters += len(line) + 1
        if characters > MOST_CHARACTERS and count:
            shown = shown[:count]
            break
    # `read_view` splits the two again: the address has no space, and a title without one ends in no bracket.
    where = f" ({one_line(page.url, LONGEST).replace(' ', '%20')})" if page.url else ""
    range_ = f"viewing lines [{loc} - {loc + len(shown) - 1}] of {len(page.lines) - 1}"
    return "\n".join([f"[{cursor}] {page.title}{where}", f"**{range_}**", "", *shown])


async def _end(lines: Sequence[str], loc: int, measure: Measure) -> int:
    # A line is measured with its newline. No token spans a newline, because "L" follows: so the sum is exact.
    left = BUDGET
    for start in range(loc, len(lines), _BATCH):
        batch = [line + "\n" for line in numbered(lines[start : start + _BATCH], start)]
        for number, tokens in enumerate(await measure(batch), start):
            left -= tokens
            if left < 0:
                return number + 1
    return len(lines)
