r"""The places of the formulas in a text: LaTeX between the marks that models write.

A formula reaches from `\(` to `\)`, from `\[` to `\]`, from `$$` to `$$`, from `$` to `$`, and from
`\begin{name}` to its `\end{name}`. So that prices are no formulas, a single `$` opens before a character that
is neither blank nor `$`, and closes behind a character that is not blank and before one that is no digit. A
displayed formula that begins its line and has no end reaches to the end of the text: the answer was cut off.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

_OPENING: Final = re.compile(
    r"""
    (?<!`)(?P<fence>`+)(?!`).*?(?<!`)(?P=fence)(?!`)  # a code span holds no formula,
    | \]\([^()\s]*\)                                  # and neither does an address
    | \\begin\{(?P<name>[A-Za-z]{1,40}\*?)\}
    | \\[(\[]
    | \\.
    | \$\$?
    """,
    re.DOTALL | re.VERBOSE,
)
_CLOSED: Final = {
    r"\(": re.compile(r"(?:[^\\]|\\[^)])*+\\\)"),
    r"\[": re.compile(r"(?:[^\\]|\\[^\]])*+\\\]"),
    "$$": re.compile(r"(?:[^\\$]|\\.|\$(?!\$))*+\$\$", re.DOTALL),
    # A formula that begins with a digit may be a price, so it must end on its line.
    "$": re.compile(
        r"(?=\d)(?:[^\\$`\n]|\\.)*+(?<!\s)\$(?!\d)|(?=[^\s\d$])(?:[^\\$`]|\\.)*+(?<!\s)\$(?!\d)", re.DOTALL
    ),
}
_ALONE: Final = re.compile(r"\\\[|\$\$|\\begin\{([A-Za-z]{1,40}\*?)\}")


class Formulas(NamedTuple):
    """The formulas of a text: their ends by their first character, and the openings without an end."""

    ends: dict[int, int]
    unclosed: list[int]


@lru_cache(maxsize=64)  # the parser asks at every mark of the same text
def formulas(text: str) -> Formulas:
    """Find the formulas of a paragraph, which do not overlap, in linear time."""
    found = Formulas({}, [])
    hopeless = set[str]()
    place = 0
    while match := _OPENING.search(text, place):
        place = match.end()
        mark = match[0]
        if mark not in _CLOSED and not match["name"]:
            continue
        end = None if mark in hopeless else _end(text, place, mark, match["name"])
        if end is None:
            if mark != "$":
                hopeless.add(mark)
            found.unclosed.append(match.start())
            if mark in (r"\(", "$") or text[: match.start()].rpartition("\n")[2].strip():
                continue
            end = len(text)
        found.ends[match.start()] = place = end
    return found


def closing(line: str) -> str | None:
    """The mark that closes the displayed formula that `line` opens; None if `line` is no such mark alone."""
    match = _ALONE.fullmatch(line)
    if match is None:
        return None
    return rf"\end{{{match[1]}}}" if match[1] else {r"\[": r"\]", "$$": "$$"}[line]


def _end(text: str, start: int, mark: str, name: str | None) -> int | None:
    """The place behind the mark that closes the opening `mark`; None if there is none."""
    if not name:
        match = _CLOSED[mark].match(text, start)
        return match.end() if match else None
    depth = 1
    for inner in re.compile(rf"\\(begin|end)\{{{re.escape(name)}\}}").finditer(text, start):
        depth += 1 if inner[1] == "begin" else -1
        if not depth:
            return inner.end()
    return None
