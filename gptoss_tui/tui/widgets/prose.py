"""What the model says to the person: Markdown that streams."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical

from gptoss_tui.tui.widgets.blocks import Cut, cut, size
from gptoss_tui.tui.widgets.citation import without_targets
from gptoss_tui.tui.widgets.code import is_language
from gptoss_tui.tui.widgets.growing_markdown import GrowingMarkdown
from gptoss_tui.tui.widgets.plain_text import PlainText

_log = logging.getLogger(__name__)

# Layout costs time in proportion to the widgets on show. What exceeds this is shown as its source.
_MOST_WIDGETS: Final = 1_000
# Adding an item draws its whole list again, so a list longer than this many characters waits for its end.
_LIST_BY_ITEM: Final = 2_000
# Wrapping one paragraph or code block of more than this would be felt at the keyboard.
_LONGEST_BLOCK: Final = 20_000
# The parser drops what lies in more than 20 blocks, and the screen has no room for it.
_DEEPEST: Final = 18

_FENCE: Final = re.compile(r" {0,3}(?:`{3,}|~{3,})[ \t]*([^`\s]*)[ \t]*\n")


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
        self._open_list: GrowingMarkdown | None = None
        self._open_list_length = 0

    def compose(self) -> ComposeResult:
        yield PlainText()

    def write(self, text: str) -> None:
        """Take more text, printable already. Nothing is drawn before `flush`."""
        self.text += text

    async def flush(self) -> None:
        """Draw what was written since the last flush."""
        if not self._full:
            await self._settle(partial(cut, inside_lists=self._open_list_length < _LIST_BY_ITEM))
        self._show_tail()

    async def finish(self) -> None:
        """Draw the whole text in its final form."""
        await self._settle(lambda rest: Cut(len(rest), *size(rest), whole=True))
        self._show_tail()

    async def _settle(self, find: Callable[[str], Cut]) -> None:
        """Turn what `find` calls settled into Markdown, unless it is too large or cannot be drawn."""
        try:
            found = find(self.text[self._rendered :])
            self._full = (
                self._widgets + found.widgets > _MOST_WIDGETS
                or found.longest > _LONGEST_BLOCK
                or found.deepest > _DEEPEST
            )
            if found.closed and not self._full:
                await self._draw(found)
        except Exception:  # the answer is on the screen as its source, whatever is wrong with the renderer
            _log.exception("drawing Markdown")
            self._full = True

    async def _draw(self, found: Cut) -> None:
        settled = self.text[self._rendered : self._rendered + found.closed]
        tail = self.query_one(PlainText)
        document, self._open_list = self._open_list, None
        with self.app.batch_update():
            is_new = document is None
            document = document or GrowingMarkdown()
            if is_new:
                await self.mount(document, before=tail)
            try:
                await document.append(settled)
            except Exception:
                if is_new:
                    await document.remove()
                raise
            await tail.clear()
            tail.display = False
        self._rendered += found.closed
        self._widgets += found.widgets
        self._open_list = None if found.whole else document
        self._open_list_length = 0 if found.whole else self._open_list_length + found.closed

    def _show_tail(self) -> None:
        tail = self.text[self._rendered :]
        plain = self.query_one(PlainText)
        plain.display = bool(tail)
        fence = _FENCE.match(tail)
        plain.set_class(bool(fence), "-code")
        if fence and (not fence[1] or is_language(fence[1])):
            tail = tail[fence.end() :]
        plain.show(without_targets(tail))
