"""What the model says to the person: Markdown that streams."""

from __future__ import annotations

import re
from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownFence

from gptoss_tui.widgets.blocks import Cut, cut, parser, size
from gptoss_tui.widgets.citation import without_targets
from gptoss_tui.widgets.code import code
from gptoss_tui.widgets.plain_text import PlainText

# Layout costs time in proportion to the widgets on show. What exceeds this is shown as its source.
_MOST_WIDGETS: Final = 1_000
# Adding an item draws its whole list again, so a list longer than this many characters waits for its end.
_LIST_BY_ITEM: Final = 2_000
# Wrapping one paragraph or code block of more than this would be felt at the keyboard.
_LONGEST_BLOCK: Final = 20_000

_LINK_DEFINITION: Final = re.compile(r"^ {0,3}\[[^\]\n]+\]:\s", re.MULTILINE)


class _Fence(MarkdownFence):
    @classmethod
    def highlight(cls, code_: str, language: str, ansi: bool = False, dark: bool = False) -> Content:
        return code(code_, language.partition(" ")[0] or None)


class _Document(Markdown):
    """Some blocks. Always starts empty and is only appended to: seeding it would split open blocks."""

    BLOCKS = {**Markdown.BLOCKS, "fence": _Fence, "code_block": _Fence}  # noqa: RUF012 (as in the base)

    def __init__(self) -> None:
        super().__init__(parser_factory=parser, open_links=False)


class Prose(Vertical):
    """A message for the person, drawn as it grows.

    Blocks are rendered as Markdown once no later text can change them; the block still being written is
    plain text below them. Every block is parsed whole, so the result is that of rendering the whole text.
    """

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self.text = ""
        self._rendered = 0
        self._widgets = 0
        self._full = False
        self._open_list: _Document | None = None
        self._open_list_length = 0

    def compose(self) -> ComposeResult:
        yield PlainText()

    def write(self, text: str) -> None:
        """Take more text, printable already. Nothing is drawn before `flush`."""
        self.text += text

    async def flush(self) -> None:
        """Draw what was written since the last flush."""
        tail = self.text[self._rendered :]
        if not self._full:
            found = cut(tail, inside_lists=self._open_list_length < _LIST_BY_ITEM)
            if found.closed and await self._settle(found):
                tail = tail[found.closed :]
        self._show_tail(tail)

    async def finish(self) -> None:
        """Draw the whole text in its final form."""
        if _LINK_DEFINITION.search(self.text):  # a link may be defined below the block that uses it
            await self.query(_Document).remove()
            self._rendered, self._widgets, self._open_list = 0, 0, None
        rest = self.text[self._rendered :]
        if rest and not await self._settle(Cut(len(rest), *size(rest), whole=True)):
            self._show_tail(rest)

    async def _settle(self, found: Cut) -> bool:
        """Turn the settled start of the tail into Markdown; False when it is too large for that."""
        self._full = self._widgets + found.widgets > _MOST_WIDGETS or found.longest > _LONGEST_BLOCK
        if self._full:
            return False
        settled = self.text[self._rendered : self._rendered + found.closed]
        tail = self.query_one(PlainText)
        with self.app.batch_update():
            document = self._open_list or _Document()
            if document is not self._open_list:
                await self.mount(document, before=tail)
            await document.append(settled)
            await tail.clear()
            tail.display = False
        self._rendered += found.closed
        self._widgets += found.widgets
        self._open_list = None if found.whole else document
        self._open_list_length = 0 if found.whole else self._open_list_length + found.closed
        return True

    def _show_tail(self, tail: str) -> None:
        plain = self.query_one(PlainText)
        plain.display = bool(tail)
        fence = tail.lstrip(" ").startswith(("```", "~~~"))
        plain.set_class(fence, "-code")
        if fence:
            tail = tail.partition("\n")[2]
        plain.show(without_targets(tail))
