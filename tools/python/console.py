"""The prints and displays of a cell as text for the model: bounded, plain, in order."""

from __future__ import annotations

import re

from ..excerpt import LIMIT, left_out

FLOOD = 1_000_000  # characters; a cell that prints more is stopped

# Escape sequences of terminals (ECMA-48): CSI, OSC and the like up to their terminator, two-character ones.
ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]"
)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """`text` as a terminal would show it in the end: without escapes, each line in its last state.

    A progress bar rewrites its line after each carriage return; only the line's last text is kept.
    """
    text = ESCAPES.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        lines = text.split("\n")
        text = "\n".join(next((part for part in reversed(line.split("\r")) if part), "") for line in lines)
    return CONTROLS.sub("", text).encode("utf-8", "replace").decode()


class Console:
    """Joins the pieces of a cell's output. Each method returns the text that is ready for the model.

    The first four fifths of `limit` characters are returned as they come; of the rest only the end is kept. A
    line is withheld until it is complete, since a carriage return may still replace it.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._head = limit - limit // 5
        self._kept = limit // 5
        self._line = ""
        self._tail = ""
        self._beyond = 0
        self._total = 0
        self._last = "\n"  # the last character returned; the very start counts as a line break
        self._open = False  # whether that ended a block, which stands on lines of its own

    @property
    def empty(self) -> bool:
        """Whether there was no output at all."""
        return self._total == 0 and not self._line

    @property
    def flooded(self) -> bool:
        """Whether there was so much output that the cell should be stopped."""
        return self._total + len(self._line) > FLOOD

    def write(self, text: str) -> str:
        """Add text of a standard stream, with its own line breaks."""
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
        """Add text on lines of its own: an echoed value, a traceback, a note."""
        told = self.flush()
        start = "" if self._last == "\n" else "\n"
        told += self._tell(start + plain(text))
        self._open = self._last != "\n"
        return told

    def flush(self) -> str:
        """The withheld line, complete or not."""
        line, self._line = self._line, ""
        return self._tell(plain(line))

    def finish(self) -> str:
        """The remaining text: the withheld line, then the end of an output that was too long."""
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
