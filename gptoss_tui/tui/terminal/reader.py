"""The reader: bytes from a terminal into events, for any bytes in any pieces.

The reader cuts the stream into text, control sequences and pastes. Textual's tables give the meaning of a
single sequence; a sequence that is not in them becomes no event.
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
"""The most bytes of one paste: far more than any editor here takes. The rest is dropped."""

# ECMA-48 for control sequences; xterm's ctlseqs for reports of mice and for strings that answer a question.
# Only printable characters belong to a string: a string that lost its end stops at the next control.
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
"""The most characters of a sequence for Textual's parser, which would take a longer one for typed text."""


class PasteStalls(Message):
    """A paste has begun, and its end has been missing for some seconds."""


class Reader:
    """Turns bytes into events: `feed` takes the next bytes, `silence` reports that no bytes came for a while.

    The events depend on the bytes alone and not on the pieces they come in, with one exception: a silence
    decides about Esc, which is also the first byte of every sequence, and about Alt with a few keys.

    Only its end ends a paste. A pause may come from the network, and the text after it would act as keys. So
    where an end was lost, all keys are text until another paste brings an end.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._pasted: bytearray | None = None
        self._acted = b""
        """Bytes that a silence has turned into keys, but that may still be the start of a paste."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parser = XTermParser()

    @property
    def in_paste(self) -> bool:
        """Whether a paste has begun whose end has not come."""
        return self._pasted is not None

    def feed(self, data: bytes) -> Iterator[Message]:
        """The events that `data` completes. Incomplete bytes wait for more."""
        self._buffer += data
        while self._buffer:
            size = len(self._buffer)
            if self._pasted is not None:
                yield from self._paste(self._pasted)
            elif self._acted:
                if self._may_be_late():
                    return
                continue
            elif self._buffer[0] != 0x1B:
                yield from self._text()
            else:
                yield from self._control()
            if len(self._buffer) == size:
                return

    def silence(self) -> Iterator[Message]:
        """The events of incomplete bytes, when no more have come for as long as one key may take."""
        waiting = bytes(self._buffer)
        if self._pasted is not None or not waiting or (waiting[0] == 0x1B and len(waiting) > 2):
            return
        self._buffer.clear()
        acted = self._acted + waiting
        self._acted = acted if _PASTE_START.startswith(acted) else b""
        if waiting[0] != 0x1B:
            yield from self._known(waiting.decode())
        else:
            yield from self._escape() if waiting == b"\x1b" else self._alt(waiting.decode())

    def _paste(self, pasted: bytearray) -> Iterator[Message]:
        end = self._buffer.find(_PASTE_END)
        taken = end if end >= 0 else len(self._buffer) - _begun(self._buffer, _PASTE_END)
        pasted += self._buffer[: min(taken, _MOST_PASTED - len(pasted))]
        del self._buffer[:taken]
        if end >= 0:
            del self._buffer[: len(_PASTE_END)]
            self._pasted = None
            if pasted:
                yield events.Paste(pasted.decode("utf-8", "replace"))

    def _may_be_late(self) -> bool:
        """Whether the rest of a torn start of a paste may still come. If it is there, the paste begins."""
        rest = _PASTE_START.removeprefix(self._acted)
        if len(self._buffer) < len(rest) and rest.startswith(self._buffer):
            return True
        self._acted = b""
        if self._buffer.startswith(rest):
            del self._buffer[: len(rest)]
            self._pasted = bytearray()
        return False

    def _text(self) -> Iterator[Message]:
        end = self._buffer.find(b"\x1b")
        raw = bytes(self._buffer if end < 0 else self._buffer[:end])
        del self._buffer[: len(raw)]
        yield from self._known(self._decoder.decode(raw))

    def _control(self) -> Iterator[Message]:
        yield from self._known(self._decoder.decode(b"", final=True))
        match = _SEQUENCE.match(self._buffer)
        if match is None:
            return
        kind, sequence = match.lastgroup, match[0].decode("latin-1")
        del self._buffer[: len(sequence)]
        match kind:
            case "known" if sequence == _PASTE_START.decode():
                self._pasted = bytearray()
            case "known" if _is_plausible(sequence):
                for report in plain_reports(sequence):
                    yield from self._known(report)
            case "escape":
                yield from self._escape()
            case "alt":
                yield from self._alt(sequence)

    def _escape(self) -> Iterator[Message]:
        yield events.Key("escape", "\x1b")

    def _alt(self, sequence: str) -> Iterator[Message]:
        """Alt and a key: under the name in Textual's tables, else under the key's own name with Alt."""
        if known := list(self._known(sequence)):
            yield from known
            return
        for key in self._known(sequence[1]):
            if isinstance(key, events.Key):
                name = f"shift+{key.key.lower()}" if key.key.isupper() else key.key
                yield events.Key(f"alt+{name}", key.character)

    def _known(self, text: str) -> Iterator[Message]:
        """Textual's events for text without Esc or for one whole sequence; none for an unknown sequence."""
        if not text or (text[0] == "\x1b" and len(text) > _LONGEST):
            return
        try:
            messages = list(self._parser.feed(text))
            if text[0] == "\x1b":
                # The parser would wait for more of an unknown sequence, and type it in the end.
                list(self._parser.feed("\x1b[I"))
        except Exception:  # an input that Textual's tables cannot take is no key
            self._parser = XTermParser()
            return
        yield from messages


def _begun(data: bytearray, mark: bytes) -> int:
    """The number of bytes at the end of `data` that may be the beginning of `mark`."""
    return next((n for n in range(len(mark) - 1, 0, -1) if data.endswith(mark[:n])), 0)


def _is_plausible(sequence: str) -> bool:
    """False for the report of a size that no terminal has, True for any other sequence."""
    match = _RESIZE.fullmatch(sequence)
    if match is None:
        return True
    rows, columns, height, width = (int(number) for number in match.groups())
    return 0 < rows * columns <= _MOST_CELLS and height >= rows and width >= columns
