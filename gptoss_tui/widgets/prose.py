"""What the model says to the person: Markdown that streams."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownFence

from gptoss_tui.widgets.blocks import cut, parser, size
from gptoss_tui.widgets.code import code
from gptoss_tui.widgets.plain_text import PlainText

# Layout costs time in proportion to the widgets on show. What exceeds this is shown as its source.
_MOST_WIDGETS: Final = 1_000
# Adding an item redraws the whole list, so a list beyond this many characters waits until it is complete.
_LIST_BY_ITEM: Final = 2_000
# Wrapping one paragraph or code block of more than this would be felt at the keyboard.
_LONGEST_BLOCK: Final = 20_000


class _Fence(MarkdownFence):
    @classmethod
    def highlight(cls, code_: str, language: str, ansi: bool = False, dark: bool = False) -> Content:
        return code(code_, language.partition(" ")[0] or None)


class _Document(Markdown):
    BLOCKS = {**Markdown.BLOCKS, "fence": _Fence, "code_block": _Fence}  # noqa: RUF012 (as in the base)

    def __init__(self) -> None:
        super().__init__(parser_factory=parser, open_links=False)


class Prose(Vertical):
    """A message for the person, drawn as it grows.

    Blocks are rendered as Markdown once nothing can change them any more; the block still being written is
    plain text. `finish` renders the whole once more, which also settles what depends on later text.
    """

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self.text = ""
        self._rendered = 0
        self._widgets = 0
        self._list_length = 0
        self._full = False

    def compose(self) -> ComposeResult:
        yield _Document()
        yield PlainText(classes="tail")

    def write(self, text: str) -> None:
        """Take more text, printable already. Nothing is drawn before `flush`."""
        self.text += text

    async def flush(self) -> None:
        """Draw what was written since the last flush."""
        tail = self.text[self._rendered :]
        if not self._full and "\n" in tail:
            tail = await self._settle(tail)
        self._show_tail(tail)

    async def finish(self) -> None:
        """Draw the whole text in its final form, unless it is too large for that."""
        whole = size(self.text)
        if whole.widgets > _MOST_WIDGETS or whole.longest > _LONGEST_BLOCK:
            await self.flush()
            return
        with self.app.batch_update():
            await self.query_one(_Document).update(self.text)
            await self.query_one(PlainText).clear()
            self._show_tail("")
        self._rendered, self._widgets = len(self.text), whole.widgets

    async def _settle(self, tail: str) -> str:
        """Move the settled part of the tail into the document and return what remains."""
        found = cut(tail, inside_lists=self._list_length < _LIST_BY_ITEM)
        if not found.closed:
            return tail
        if self._widgets + found.widgets > _MOST_WIDGETS or found.closed > _LONGEST_BLOCK:
            self._full = True
            return tail
        with self.app.batch_update():
            await self.query_one(_Document).append(tail[: found.closed])
            await self.query_one(PlainText).clear()
        self._rendered += found.closed
        self._widgets += found.widgets
        self._list_length = 0 if found.whole else self._list_length + found.closed
        return tail[found.closed :]

    def _show_tail(self, tail: str) -> None:
        plain = self.query_one(PlainText)
        plain.display = bool(tail)
        fence = tail.lstrip(" ").startswith(("```", "~~~"))
        plain.set_class(fence, "-code")
        if fence:
            tail = tail.partition("\n")[2]
        plain.show(tail)
