"""The blocks of a growing Markdown text that no later text can change."""

from __future__ import annotations

from typing import NamedTuple

from markdown_it.token import Token

from gptoss_tui.tui.widgets.dialect import parser
from gptoss_tui.tui.widgets.formula_lines import GROWING

# Blocks only: the inline rules are most of the cost and say nothing about where blocks end.
_BLOCKS = parser().disable(["inline", "linkify", "titles", "text_join"])


class Size(NamedTuple):
    """About how many widgets a text makes, the length of its longest block, and the depth of its blocks."""

    widgets: int
    longest: int
    deepest: int


class SourceCut(NamedTuple):
    """A cut after the first `closed` characters, which are settled: no later text can change their blocks.

    `widgets`, `longest` and `deepest` are their `Size`. `whole` is True when the cut falls between top-level
    blocks, False when it falls inside a list.
    """

    closed: int
    widgets: int
    longest: int
    deepest: int
    whole: bool


_NOTHING = SourceCut(0, 0, 0, 0, True)


def cut(source: str, *, inside_lists: bool) -> SourceCut:
    """Find the settled part of `source`, which starts at a block.

    All blocks but the last are settled. In a list that comes last, all items but the last are settled too, if
    `inside_lists` is True.
    """
    complete = source[: source.rfind("\n") + 1]
    tokens = _BLOCKS.parse(complete, {GROWING: True})
    starts = [i for i, token in enumerate(tokens) if token.level == 0 and token.map]
    if not starts:
        return _NOTHING
    last, whole = starts[-1], True
    if inside_lists and tokens[last].type.endswith("_list_open"):
        items = [i for i, token in enumerate(tokens) if i > last and _is_item(token)]
        if len(items) > 1:
            last, whole = items[-1], False
    lines = complete.splitlines(keepends=True)
    line = (tokens[last].map or [0])[0]
    return SourceCut(sum(map(len, lines[:line])), *_size(tokens[:last], lines[:line]), whole)


def size(source: str) -> Size:
    """The size of the layout of `source`."""
    return _size(_BLOCKS.parse(source), source.splitlines(keepends=True))


def _is_item(token: Token) -> bool:
    return token.type == "list_item_open" and token.level == 1


def _size(tokens: list[Token], lines: list[str]) -> Size:
    blocks = [token.map for token in tokens if token.level == 0 and token.map]
    longest = max((sum(map(len, lines[start:end])) for start, end in blocks), default=0)
    deepest = max((token.level for token in tokens), default=0)
    return Size(sum(token.nesting >= 0 for token in tokens), longest, deepest)
