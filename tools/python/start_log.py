"""The prints of a kernel's processes outside its messages: logged while it starts, dropped after that."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from pathlib import Path

from gptoss_tui.workers.log import open_log, readable

LONGEST = 1 << 16
"""Characters logged in one start."""

_CHUNK = 1 << 16
_REST = 0.01  # seconds between two chunks, so that a flood costs this side next to nothing


class StartLog:
    """Drains `stream`, so that no print ever blocks, and adds its text to the log at `path`."""

    def __init__(self, stream: asyncio.StreamReader, path: Path | None) -> None:
        self.path = path
        self._last = ""
        self._file = open_log(path)
        self._room = LONGEST
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._draining = asyncio.create_task(self._drain(stream))

    def last(self) -> str:
        """The last logged line, and the place of the others."""
        lines = [line.strip() for line in self._last.splitlines() if line.strip()]
        said = f": {lines[-1][:200]}" if lines else ""
        return said + (f" (its log: {self.path})" if self.path is not None else "")

    def close(self) -> None:
        """Stop logging: the prints that code causes are not for the log."""
        self._file.close()

    async def ended(self, patience: float) -> None:
        """Wait until no process is left that could print, for `patience` seconds at most; then close."""
        await asyncio.wait([self._draining], timeout=patience)
        self._draining.cancel()
        await asyncio.gather(self._draining, return_exceptions=True)
        self.close()

    async def _drain(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(_CHUNK):
            if not self._file.closed:
                self._note(readable(self._decode(chunk)))
            await asyncio.sleep(_REST)

    def _note(self, text: str) -> None:
        self._last = (self._last + text)[-1000:]
        with contextlib.suppress(OSError):  # a disk that is full
            self._file.write(text[: self._room].encode())
        self._room = max(self._room - len(text), 0)
