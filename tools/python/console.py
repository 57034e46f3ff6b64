"""What a cell prints and shows, as the text that the model is told: bounded, plain, in order."""

from __future__ import annotations

import re

from ..excerpt import LIMIT, left_out

FLOOD = 1_000_000  # characters; a cell that prints more is stopped

# Escape sequences of terminals (ECMA-48): CSI, OSC and its kin up to their terminator, two-character ones.
ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]"
)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """`text` as it would look on a terminal in the end: no escapes, every line in its last state.

    A progress bar rewrites its line after each carriage return; only what stood there last is kept.
    """
    text = ESCAPES.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        lines = text.split("\n")
        text = "\n".join(next((part for part in reversed(line.split("\r")) if part), "") for line in lines)
    return CONTROLS.sub("", text).encode("utf-8", "replace").decode()


class Console:
    """Joins the pieces of a cell's output. Each method returns what may be told now.

    The first four fifths of `limit` characters are told as they come, then only the end is kept. A line is
    held back until it is complete, since a carriage return may still replace it.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._head = limit - limit // 5
        self._kept = limit // 5
        self._line = ""
        self._tail = ""
        self._beyond = 0
        self._total = 0
        self._last = "\n"  # the last character told; at the very start as good as a line break
        self._open = False  # whether that was the end of a block, which wants a line of its own

    @property
    def empty(self) -> bool:
        """Whether nothing at all has come."""
        return self._total == 0 and not self._line

    @property
    def flooded(self) -> bool:
        """Whether so much has come that the cell should be stopped."""
        return self._total + len(self._line) > FLOOD

    def write(self, text: str) -> str:
        """Text of a standard stream; it keeps its own line breaks."""
        if self._open and text:
            self._open = False
            text = "\n" + text
        self._line += text
        if len(self._line) > self._head + self._kept:
            return self.flush()
        complete = self._line.rfind("\n") + 1
        lines, self._line = self._line[:complete], self._line[complete:]
        return self._tell(plain(lines))

    def show(self, text: str) -> str:
        """Text that stands on lines of its own: an echoed value, a traceback, a note."""
        told = self.flush()
        start = "" if self._last == "\n" else "\n"
        told += self._tell(start + plain(text))
        self._open = self._last != "\n"
        return told

    def flush(self) -> str:
        """The line that was held back, as it stands."""
        line, self._line = self._line, ""
        return self._tell(plain(line))

    def finish(self) -> str:
        """Whatever is left: the line held back, then the end of what was too long."""
        told = self.flush()
        missing = self._beyond - len(self._tail)
        return told + (left_out(missing) if missing else "") + self._tail

    def _tell(self, text: str) -> str:
        if not text:
            return ""
        room = max(self._head - self._total, 0)
        self._total += len(text)
        self._last = text[-1]
        told, rest = text[:room], text[room:]
        self._beyond += len(rest)
        self._tail = (self._tail + rest)[-self._kept :]
        return told
