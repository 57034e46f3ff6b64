r"""Tokens as lines for a terminal: each over its id, in the colour of the channel it belongs to.

<|start|>  user  <|message|>  What  ·is  ·2  <|end|>
200006     1428  200008       4827  382  ...  200007
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...events.printable import revealed
from .anatomy import Piece, Segment

_GAP = 2
_LEAST_WIDTH = 40
_MARKS = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}

# Parameters of ECMA-48 SGR sequences. The sixteen colours follow the person's own palette.
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
class TokenFormatter:
    """Lays out tokens in lines of at most `width` columns, with or without colour."""

    width: int = 100
    colour: bool = False

    def paint(self, text: str, style: str) -> str:
        """`text` in the SGR style `style`; unchanged without colour."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour and style and text else text

    def heading(self, left: str, right: str, style: str) -> str:
        """A horizontal rule over the whole width, with `left` and `right` at its ends."""
        room = max(self.width, _LEAST_WIDTH) - cells(left) - cells(right) - 5
        rule = "─" * max(1, room)
        return f"{self.paint('──', _DIM)} {self.paint(left, style)} {self.paint(rule, _DIM)} {right}"

    def lines(self, segment: Segment, *, dropped: bool = False) -> Iterator[str]:
        """The lines of one message: each row of tokens over their ids, then the repairs made in the row."""
        colour = COLOURS.get(segment.style, "")
        for row in self._rows(segment.pieces):
            words: list[str] = []
            ids: list[str] = []
            for piece in row:
                word = visible(piece.text)
                width = max(cells(word), len(str(piece.id)))
                style = _style(piece, colour) + (";9" if dropped else "")
                words.append(self.paint(word, style) + " " * (width - cells(word)))
                ids.append(str(piece.id).ljust(width))
            yield (" " * _GAP).join(["", *words]).rstrip()
            yield self.paint((" " * _GAP).join(["", *ids]).rstrip(), _DIM)
            for piece in row:
                for repair in piece.repairs:
                    yield self.paint(f"  ↳ {visible(piece.text)} {piece.id}: {revealed(repair)}", _ALARM)

    def _rows(self, pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
        """Rows of tokens that fit the width. A row also ends at a line break, a long header and a repair."""
        is_short = sum(map(_width, pieces)) <= self.width and not any("\n" in p.text for p in pieces[:-2])
        row: list[Piece] = []
        used = 0
        for place, piece in enumerate(pieces):
            if row and used + _width(piece) > self.width:
                yield row
                row, used = [], 0
            row.append(piece)
            used += _width(piece)
            ends_header = piece.kind == "control" and not is_short and _begins_body(pieces[place + 1 :])
            if piece.repairs or ends_header or (piece.kind == "body" and "\n" in piece.text):
                yield row
                row, used = [], 0
        if row:
            yield row


def title(segment: Segment) -> str:
    """The author of a message, its recipient, its channel and its content type."""
    if all(piece.kind == "unread" for piece in segment.pieces):
        return "after the end, not read"
    role = segment.role.value if segment.role else "?"
    author = f"{role} {segment.name}" if segment.name else role
    to = f" → {segment.recipient}" if segment.recipient else ""
    parts = [f"{author}{to}", segment.channel, segment.content_type]
    return revealed(" · ".join(part for part in parts if part))


def count(number: int, noun: str = "token") -> str:
    """The number with its noun, in the plural where it belongs."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def visible(text: str) -> str:
    """`text` on one line: blanks become marks, invisible characters become escapes."""
    line = "".join(_MARKS.get(character) or _escaped(character) for character in text)
    # A combining mark with nothing to combine with would sit on the gap before it.
    return f"◌{line}" if line and unicodedata.combining(line[0]) else line


def _escaped(character: str) -> str:
    if revealed(character) == character:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{{{code:x}}}"


def cells(text: str) -> int:
    """The number of columns that `text` takes in a terminal."""
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _width(piece: Piece) -> int:
    return _GAP + max(cells(visible(piece.text)), len(str(piece.id)))


def _begins_body(rest: Iterable[Piece]) -> bool:
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
