r"""Tokens on a page: each over its id, in the colours of the channel it belongs to.

<|start|>  user  <|message|>  What  ·is  ·2  <|end|>
200006     1428  200008       4827  382  ...  200007
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...events.printable import revealed
from .anatomy import Block, Piece

_GAP = 2
_LEAST_WIDTH = 40
_SHOWN = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}

# What the terminal is told (ECMA-48 SGR). The sixteen colours follow the person's own palette.
_DIM, _BOLD, _ALARM = "2", "1", "1;31"
COLOURS = {
    "system": "35",
    "developer": "34",
    "user": "36",
    "tool": "33",
    "analysis": "2;3",
    "commentary": "38;5;208",
    "final": "32",
    "assistant": "1",
}


@dataclass(frozen=True, slots=True)
class Page:
    """How wide it is, in columns, and whether it may be in colour."""

    width: int = 100
    colour: bool = False

    def paint(self, text: str, style: str) -> str:
        """`text` in a style of SGR, as it is where there is no colour."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour and style and text else text

    def heading(self, left: str, right: str, style: str) -> str:
        """A rule across the page with words on both ends."""
        room = max(self.width, _LEAST_WIDTH) - cells(left) - cells(right) - 5
        rule = "─" * max(1, room)
        return f"{self.paint('──', _DIM)} {self.paint(left, style)} {self.paint(rule, _DIM)} {right}"

    def block(self, block: Block, *, dropped: bool = False) -> Iterator[str]:
        """The lines of one message: rows of tokens, each over its ids, and what was repaired in a row."""
        colour = COLOURS.get(block.style, "")
        for row in self._rows(block.pieces):
            words: list[str] = []
            ids: list[str] = []
            for piece in row:
                shown = visible(piece.text)
                wide = max(cells(shown), len(str(piece.id)))
                style = _style(piece, colour) + (";9" if dropped else "")
                words.append(self.paint(shown, style) + " " * (wide - cells(shown)))
                ids.append(str(piece.id).ljust(wide))
            yield (" " * _GAP).join(["", *words]).rstrip()
            yield self.paint((" " * _GAP).join(["", *ids]).rstrip(), _DIM)
            for piece in row:
                for what in piece.repairs:
                    yield self.paint(f"  ↳ {visible(piece.text)} {piece.id}: {revealed(what)}", _ALARM)

    def _rows(self, pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
        """Rows that fit the page. One ends with a line of the text, after a long header, and at a repair."""
        is_short = sum(map(_wide, pieces)) <= self.width and not any("\n" in p.text for p in pieces[:-2])
        row: list[Piece] = []
        used = 0
        for place, piece in enumerate(pieces):
            if row and used + _wide(piece) > self.width:
                yield row
                row, used = [], 0
            row.append(piece)
            used += _wide(piece)
            begins_body = piece.kind == "control" and not is_short and _is_body(pieces[place + 1 :])
            if piece.repairs or begins_body or (piece.kind == "body" and "\n" in piece.text):
                yield row
                row, used = [], 0
        if row:
            yield row


def title(block: Block) -> str:
    """Who speaks to whom, on which channel, in what form."""
    if all(piece.kind == "unread" for piece in block.pieces):
        return "after the end, not read"
    role = block.role.value if block.role else "?"
    author = f"{role} {block.name}" if block.name else role
    to = f" → {block.recipient}" if block.recipient else ""
    said = [f"{author}{to}", block.channel, block.content_type]
    return revealed(" · ".join(part for part in said if part))


def count(number: int, what: str = "token") -> str:
    """The number with its noun."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def visible(text: str) -> str:
    """`text` on one line with nothing hidden in it: blanks are marked, what is invisible is escaped."""
    shown = "".join(_SHOWN.get(one) or (one if revealed(one) == one else _escaped(one)) for one in text)
    # A combining mark with nothing to combine with would sit on the gap before it.
    return f"◌{shown}" if shown and unicodedata.combining(shown[0]) else shown


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{{{code:x}}}"


def cells(text: str) -> int:
    """The columns that `text` takes in a terminal."""
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _wide(piece: Piece) -> int:
    return _GAP + max(cells(visible(piece.text)), len(str(piece.id)))


def _is_body(rest: Iterable[Piece]) -> bool:
    return next((piece.kind == "body" for piece in rest), False)


def _style(piece: Piece, colour: str) -> str:
    match piece.kind:
        case "control":
            return _ALARM if piece.repairs else _BOLD
        case "header":
            return _DIM
        case "unread":
            return "2;9"
        case _:
            return f"{colour};4;31" if piece.repairs else colour
