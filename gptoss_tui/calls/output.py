"""The output of a call: cut in the middle for the model, whole on disk, and never much of it in memory."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..events.printable import without_controls
from ..tools.excerpt import left_out

LONGEST_OUTPUT = 20_000
"""Characters of one tool message; a longer output is cut in the middle."""

LONGEST_FILE = 20_000_000
"""Characters of one output on disk; the rest is dropped."""

_TAIL = LONGEST_OUTPUT // 5


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """The folder for outputs too long for the model, whole and readable by the person alone.

    It has about `limit` bytes at most: a new output removes the oldest. Outputs belong to no conversation;
    to forget them all, delete the folder.
    """

    path: Path
    limit: int = 200_000_000

    def new(self, tool: str) -> IO[str]:
        """A new file, open for writing; raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make_room()
        name = re.sub(r"[^\w.-]", "_", tool)[:60]
        file = self.path / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{secrets.token_hex(3)}.txt"
        return open(file, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600))

    def _make_room(self) -> None:
        files = [(file.stat(), file) for file in self.path.glob("*.txt")]
        room = self.limit - LONGEST_FILE - sum(state.st_size for state, _ in files)
        for state, file in sorted(files, key=lambda entry: entry[0].st_mtime):
            if room >= 0:
                break
            file.unlink(missing_ok=True)
            room += state.st_size


@dataclass(frozen=True, slots=True)
class OutputRoom:
    """The room that the model's context has for one output: `tokens`, as `measure` counts those of a text."""

    tokens: int
    measure: Callable[[str], Awaitable[int]]

    async def longest(self, collected: Collected, note: str) -> int:
        """The most characters of the output with which it fits, at most LONGEST_OUTPUT; 0 if none do."""
        longest = min(collected.length, LONGEST_OUTPUT)
        text = collected.text(note, longest)
        # A token has at least one byte, so that most outputs need not be measured.
        while longest and len(text.encode("utf-8", "replace")) > self.tokens:
            tokens = await self.measure(text)
            if tokens <= self.tokens:
                break
            longest = min(longest - 1, longest * self.tokens * 9 // (tokens * 10))
            text = collected.text(note, longest)
        return longest


class Collected:
    """The output of one call, collected piece by piece. Control characters in it become visible marks.

    `whole` is the file of the whole output, None while the output is short or cannot be written.
    """

    def __init__(self, tool: str, folder: OutputFolder | None) -> None:
        self.length = 0
        self.whole: Path | None = None
        self._tool = tool
        self._folder = folder
        self._file: IO[str] | None = None
        self._head = ""
        self._tail = ""

    def add(self, text: str) -> str:
        """Take the next piece; returns the piece as it is shown."""
        text = without_controls(text)
        if self.length <= LONGEST_OUTPUT < self.length + len(text) and self._folder is not None:
            self._begin_file(self._head)
        self._write(text)
        self.length += len(text)
        self._head += text[: LONGEST_OUTPUT - len(self._head)]
        self._tail += text[-_TAIL:]
        if len(self._tail) > 2 * _TAIL:
            self._tail = self._tail[-_TAIL:]
        return text

    def text(self, note: str = "", longest: int = LONGEST_OUTPUT) -> str:
        """The output for the model, with at most `longest` characters and then `note`, whatever is cut."""
        if self.length <= longest:
            return self._head + note
        tail = longest // 5
        end = self._tail[len(self._tail) - tail :]
        return self._head[: longest - tail] + left_out(self.length - longest) + end + note

    async def within(self, room: OutputRoom | None, note: str = "") -> str:
        """The output for the model, with `note` at its end, as far as there is `room` for it."""
        longest = await room.longest(self, note) if room is not None else LONGEST_OUTPUT
        if longest < self.length <= LONGEST_OUTPUT and self._folder is not None:
            self._begin_file(self._head)
            self.close()
        return self.text(note, longest)

    def close(self) -> None:
        """End the output."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _begin_file(self, beginning: str) -> None:
        assert self._folder is not None
        try:
            self._file = self._folder.new(self._tool)
        except OSError:
            return  # the model gets its part; a full disk ends no call
        self.whole = Path(self._file.name)
        self._write(beginning)

    def _write(self, text: str) -> None:
        if self._file is None or self.length >= LONGEST_FILE:
            return
        try:
            self._file.write(text[: LONGEST_FILE - self.length])
            if self.length + len(text) >= LONGEST_FILE:
                self._file.write("\n[… the rest was not kept …]\n")
        except OSError:
            self.close()
            if self.whole is not None:
                self.whole.unlink(missing_ok=True)
            self.whole = None


def outputs_folder() -> OutputFolder:
    """The folder of outputs on this platform."""
    from platformdirs import user_state_path

    return OutputFolder(user_state_path("gptoss-chat") / "outputs")
