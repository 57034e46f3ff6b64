"""Text of the model to the person: Markdown that streams."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical

from gptoss_tui.tui.widgets.blocks import SourceCut, cut, size
from gptoss_tui.tui.widgets.citation import without_targets
from gptoss_tui.tui.widgets.code import is_language
from gptoss_tui.tui.widgets.growing_markdown import GrowingMarkdown
from gptoss_tui.tui.widgets.plain_text import PlainText

_log = logging.getLogger(__name__)

# Layout costs time in proportion to the displayed widgets. Text beyond these is shown as its source.
_MOST_WIDGETS: Final = 1_000
# Adding an item draws its whole list again, so a list longer than this many characters waits for its end.
_LIST_BY_ITEM: Final = 2_000
# Wrapping a longer paragraph or code block would delay the keyboard.
_LONGEST_BLOCK: Final = 20_000
# The parser drops text inside more than 20 blocks, and the screen has no room for it.
_DEEPEST: Final = 18

_FENCE: Final = re.compile(r" {0,3}(?:`{3,}|~{3,})[ \t]*([^`\s]*)[ \t]*\n")


class Prose(Vertical):
    """A message for the person, drawn as it grows.

    Blocks are rendered as Markdown once no later text can change them; the block that is still being written
    is plain text below them. Every block is parsed whole, so the result equals that of the whole text.
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
        """Add printable text. `flush` draws it."""
        self.text += text

    async def flush(self) -> None:
        """Draw the text since the last flush."""
        if not self._full:
            await self._settle(partial(cut, inside_lists=self._open_list_length < _LIST_BY_ITEM))
        self._show_tail()

    async def finish(self) -> None:
        """Draw the whole text in its final form."""
        await self._settle(lambda rest: SourceCut(len(rest), *size(rest), whole=True))
        self._show_tail()

    async def _settle(self, find: Callable[[str], SourceCut]) -> None:
        """Render the settled text, which `find` finds, unless it is too large or cannot be rendered."""
        try:
            settled = find(self.text[self._rendered :])
            self._full = (
                self._widgets + settled.widgets > _MOST_WIDGETS
                or settled.longest > _LONGEST_BLOCK
                or settled.deepest > _DEEPEST
            )
            if settled.closed and not self._full:
                await self._render_settled(settled)
        except Exception:  # the answer stays on the screen as its source
            _log.exception("drawing Markdown")
            self._full = True

    async def _render_settled(self, settled: SourceCut) -> None:
        text = self.text[self._rendered : self._rendered + settled.closed]
        tail = self.query_one(PlainText)
        markdown, self._open_list = self._open_list, None
        with self.app.batch_update():
            is_new = markdown is None
            markdown = markdown or GrowingMarkdown()
            if is_new:
                await self.mount(markdown, before=tail)
            try:
                await markdown.append(text)
            except Exception:
                if is_new:
                    await markdown.remove()
                raise
            await tail.clear()
            tail.display = False
        self._rendered += settled.closed
        self._widgets += settled.widgets
        self._open_list = None if settled.whole else markdown
        self._open_list_length = 0 if settled.whole else self._open_list_length + settled.closed

    def _show_tail(self) -> None:
        tail = self.text[self._rendered :]
        plain = self.query_one(PlainText)
        plain.display = bool(tail)
        fence = _FENCE.match(tail)
        plain.set_class(bool(fence), "-code")
        if fence and (not fence[1] or is_language(fence[1])):
            tail = tail[fence.end() :]
        plain.show(without_targets(tail))
