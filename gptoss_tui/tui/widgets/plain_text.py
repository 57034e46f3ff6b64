"""Plain text that grows: the live view of everything that streams."""

from __future__ import annotations

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

_CHUNK = 2_000


class PlainText(Vertical):
    """Shows text unchanged, in chunks of bounded size, so that an addition costs the same at any length.

    It interprets no markup, wraps nothing itself and filters nothing: the text must be printable.
    """

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._open = ""
        self._drawn = 0

    def show(self, text: str) -> None:
        """Draw `text`, which must begin with the text drawn before."""
        if len(text) > self._drawn:
            self._add(text[self._drawn :])
            self._drawn = len(text)

    async def clear(self) -> None:
        """Remove all text."""
        if self._drawn:
            self._open, self._drawn = "", 0
            await self.remove_children()

    def _add(self, piece: str) -> None:
        old = self._open
        chunks = _cut(old + piece)
        self._open = chunks[-1]
        first = chunks[0]
        if old:
            last = self.children[-1]
            assert isinstance(last, Static)
            last.update(Content(first.removesuffix("\n")))
            chunks = chunks[1:]
        if chunks:
            self.mount_all(Static(Content(chunk.removesuffix("\n")), markup=False) for chunk in chunks)


def _cut(text: str) -> list[str]:
    """`text` in chunks, which end at a line break if lines are short enough. The last chunk is still open."""
    chunks = []
    while len(text) > _CHUNK:
        end = text.rfind("\n", 0, _CHUNK) + 1 or text.find(" ", _CHUNK // 2, _CHUNK) + 1 or _CHUNK
        chunks.append(text[:end])
        text = text[end:]
    return [*chunks, text]
