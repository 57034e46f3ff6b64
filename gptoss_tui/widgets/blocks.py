"""Where a growing Markdown text can be cut: which of its blocks no later text can change."""

from __future__ import annotations

from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token


def parser() -> MarkdownIt:
    """The Markdown the application reads. HTML is off: `List<String>` is text, and must not vanish."""
    return MarkdownIt("gfm-like", {"html": False})


# Blocks only: the inline rules are most of the cost and say nothing about where blocks end.
_BLOCKS = parser().disable(["inline", "linkify", "text_join"])


class Cut(NamedTuple):
    """The first `closed` characters are settled; they make about `widgets` widgets.

    `whole` is True when the cut falls between top-level blocks, False when inside a list.
    """

    closed: int
    widgets: int
    whole: bool


def cut(source: str, *, inside_lists: bool) -> Cut:
    """Find the settled part of `source`, which starts at a block.

    All blocks but the last are settled. Of a list that comes last, so are all its items but the last,
    if `inside_lists` allows.
    """
    end = source.rfind("\n") + 1
    tokens = _BLOCKS.parse(source[:end])
    blocks = [i for i, token in enumerate(tokens) if token.level == 0 and token.map and token.nesting >= 0]
    if not blocks:
        return Cut(0, 0, True)
    last, whole = blocks[-1], True
    if inside_lists and tokens[last].type.endswith("_list_open"):
        items = [i for i in range(last, len(tokens)) if _is_item(tokens[i])]
        if len(items) > 1:
            last, whole = items[-1], False
    line = (tokens[last].map or [0])[0]
    return Cut(_line_start(source, line), _widgets(tokens[:last]), whole)


class Size(NamedTuple):
    """About how many widgets a text makes, and the characters of its longest block."""

    widgets: int
    longest: int


def size(source: str) -> Size:
    """What it would take to lay `source` out."""
    tokens = _BLOCKS.parse(source)
    lines = source.split("\n")
    spans = [token.map for token in tokens if token.level == 0 and token.map]
    return Size(_widgets(tokens), max((sum(map(len, lines[a:b])) for a, b in spans), default=0))


def _is_item(token: Token) -> bool:
    return token.type == "list_item_open" and token.level == 1


def _widgets(tokens: list[Token]) -> int:
    return sum(token.nesting >= 0 for token in tokens)


def _line_start(source: str, line: int) -> int:
    """The offset of a line; only "\\n" ends a line for the parser, once other separators are printable."""
    start = 0
    for _ in range(line):
        start = source.index("\n", start) + 1
    return start
