"""Bytes from a terminal into events, for any bytes in any pieces.

The stream is cut here into text, control sequences and pastes; what a single sequence means, Textual's tables
say. A sequence that they do not know types nothing.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message

from gptoss_tui.tui.terminal.kitty import plain_reports

_PASTE_START: Final = b"\x1b[200~"
_PASTE_END: Final = b"\x1b[201~"
_MOST_PASTED: Final = 4_000_000
"""Bytes of one paste that are kept: far more than any editor here takes."""

# ECMA-48 for control sequences; xterm's ctlseqs for reports of mice and for strings that answer a question.
# Only printable characters belong to a string, so that one which lost its end swallows nothing beyond a key.
_SEQUENCE: Final = re.compile(
    rb"""
    (?P<known>   \x1b\[ (?![M\[]) [\x20-\x3f]* [\x40-\x7e]     # a control sequence
               | \x1b\[\[ [A-E]                                # F1 to F5 of the Linux console
               | \x1bO [0-9;]* [\x40-\x7e] )
  | (?P<ignored> \x1b\[M [^\x01-\x1f]{3}                       # an X10 mouse report: three bytes of any value
               | \x1b (?: \]\d | P[\d>!|$+] | _G ) [\x20-\x7e]{0,4096}+ (?: \x07 | \x1b\\ )
               # The same, broken off by a byte that cannot belong to it.
               | \x1b\[ (?: M [^\x01-\x1f]{0,2}+ | \[ | [\x20-\x3f]++ ) (?=.)
               | \x1bO [0-9;]++ (?=.)
               | \x1b (?: \]\d | P[\d>!|$+] | _G ) [\x20-\x7e]{0,4096}+ (?= \x1b[^\\] | [^\x1b\x07] )
               | \x1b (?=[\x80-\xff]) )                        # Alt and a letter beyond ASCII: the letter
  | (?P<escape>  \x1b (?=\x1b) )
  | (?P<alt>     \x1b (?: [^\x1b\[O\]P_\x80-\xff]
                        | \[(?=[^\x20-\x7e]) | O(?=[^0-9;\x40-\x7e])
                        | \](?=\D) | P(?=[^\d>!|$+]) | _(?=[^G]) ) )
    """,
    re.VERBOSE | re.DOTALL,
)
_RESIZE: Final = re.compile(r"\x1b\[48;(\d+)[^;]*;(\d+)[^;]*;(\d+)[^;]*;(\d+)[^;]*t")
_MOST_CELLS: Final = 1_000_000
_LONGEST: Final = 32
"""Characters up to which Textual's parser looks at a sequence; what is longer it would type."""


class PasteStalls(Message):
    """A paste has begun, and its end has not come for some seconds."""


class Reader:
    """Reads a terminal: `feed` takes what came, `silence` says that nothing came for a while.

    The events are a function of the bytes alone, however they are cut into pieces. Only for Esc, which is
    also the first byte of every sequence, and for Alt with one of a few keys, the silence decides.

    Nothing but its end ends a paste. A pause may be the network's, and what came after it would act as keys.
    So where an end was lost, all that is typed is text, until another paste brings an end.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._pasted: bytearray | None = None
        self._acted = b""
        """What a silence has made keys of, although it may yet turn out to be the start of a paste."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parser = XTermParser()

    @property
    def in_paste(self) -> bool:
        """Whether a paste has begun whose end has not come."""
        return self._pasted is not None

    def feed(self, data: bytes) -> Iterator[Message]:
        """The events that `data` completes; what is incomplete waits for more."""
        self._held += data
        while self._held:
            size = len(self._held)
            if self._pasted is not None:
                yield from self._paste(self._pasted)
            elif self._acted:
                if self._may_be_late():
                    return
                continue
            elif self._held[0] != 0x1B:
                yield from self._text()
            else:
                yield from self._control()
            if len(self._held) == size:
                return

    def silence(self) -> Iterator[Message]:
        """Nothing came for as long as the bytes of one key may lie apart."""
        held = bytes(self._held)
        if self._pasted is not None or not held or (held[0] == 0x1B and len(held) > 2):
            return
        self._held.clear()
        acted = self._acted + held
        self._acted = acted if _PASTE_START.startswith(acted) else b""
        if held[0] != 0x1B:
            yield from self._known(held.decode())
        else:
            yield from self._escape() if held == b"\x1b" else self._alt(held.decode())

    def _paste(self, pasted: bytearray) -> Iterator[Message]:
        end = self._held.find(_PASTE_END)
        taken = end if end >= 0 else len(self._held) - _begun(self._held, _PASTE_END)
        pasted += self._held[: min(taken, _MOST_PASTED - len(pasted))]
        del self._held[:taken]
        if end >= 0:
            del self._held[: len(_PASTE_END)]
            self._pasted = None
            if pasted:
                yield events.Paste(pasted.decode("utf-8", "replace"))

    def _may_be_late(self) -> bool:
        """Whether the rest of a torn start of a paste may yet come; if it is there, the paste begins."""
        rest = _PASTE_START.removeprefix(self._acted)
        if len(self._held) < len(rest) and rest.startswith(self._held):
            return True
        self._acted = b""
        if self._held.startswith(rest):
            del self._held[: len(rest)]
            self._pasted = bytearray()
        return False

    def _text(self) -> Iterator[Message]:
        end = self._held.find(b"\x1b")
        raw = bytes(self._held if end < 0 else self._held[:end])
        del self._held[: len(raw)]
        yield from self._known(self._decoder.decode(raw))

    def _control(self) -> Iterator[Message]:
        yield from self._known(self._decoder.decode(b"", final=True))
        match = _SEQUENCE.match(self._held)
        if match is None:
            return
        kind, sequence = match.lastgroup, match[0].decode("latin-1")
        del self._held[: len(sequence)]
        match kind:
            case "known" if sequence == _PASTE_START.decode():
                self._pasted = bytearray()
            case "known" if _can_be(sequence):
                for report in plain_reports(sequence):
                    yield from self._known(report)
            case "escape":
                yield from self._escape()
            case "alt":
                yield from self._alt(sequence)

    def _escape(self) -> Iterator[Message]:
        yield events.Key("escape", "\x1b")

    def _alt(self, sequence: str) -> Iterator[Message]:
        """Alt and a key: one of those that Textual names otherwise, or the key's own name with Alt."""
        if known := list(self._known(sequence)):
            yield from known
            return
        for key in self._known(sequence[1]):
            if isinstance(key, events.Key):
                name = f"shift+{key.key.lower()}" if key.key.isupper() else key.key
                yield events.Key(f"alt+{name}", key.character)

    def _known(self, text: str) -> Iterator[Message]:
        """What Textual makes of text without Esc, or of one whole sequence; nothing if it knows no such."""
        if not text or (text[0] == "\x1b" and len(text) > _LONGEST):
            return
        try:
            found = list(self._parser.feed(text))
            if text[0] == "\x1b":
                # It still waits for more of a sequence that it does not know, and would type it in the end.
                list(self._parser.feed("\x1b[I"))
        except Exception:  # whatever its tables choke on is no key
            self._parser = XTermParser()
            return
        yield from found


def _begun(data: bytearray, mark: bytes) -> int:
    """How many bytes of `mark` the end of `data` may be the beginning of."""
    return next((n for n in range(len(mark) - 1, 0, -1) if data.endswith(mark[:n])), 0)


def _can_be(sequence: str) -> bool:
    """Whether `sequence` is no report of a size that no terminal has."""
    match = _RESIZE.fullmatch(sequence)
    if match is None:
        return True
    rows, columns, height, width = (int(number) for number in match.groups())
    return 0 < rows * columns <= _MOST_CELLS and height >= rows and width >= columns
