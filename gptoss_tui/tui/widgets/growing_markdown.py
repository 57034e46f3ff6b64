"""Markdown that grows, in widgets that show every character of the text."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Label, Markdown
from textual.widgets._markdown import MarkdownBullet, MarkdownOrderedList, MarkdownOrderedListItem
from textual.widgets.markdown import MarkdownFence

from gptoss_tui.tui.widgets.code import code, is_language
from gptoss_tui.tui.widgets.dialect import parser


class _Fence(MarkdownFence):
    """A block of code. Words behind the fence stand above the block, unless they only name the language."""

    def compose(self) -> ComposeResult:
        info = self._token.info.strip()
        if info and not is_language(info):
            yield Label(Content(info), classes="info")
        yield from super().compose()

    @classmethod
    def highlight(cls, code_: str, language: str, ansi: bool = False, dark: bool = False) -> Content:
        return code(code_, language.partition(" ")[0] or None)


class _NumberedList(MarkdownOrderedList):
    """A list with the numbers that the model wrote, which may have gaps."""

    def compose(self) -> ComposeResult:
        items = [block for block in self._blocks if isinstance(block, MarkdownOrderedListItem)]
        numbers = [f"{item.bullet}{item._token.markup} " for item in items]
        width = max(map(len, numbers), default=0) + 1
        for number, item in zip(numbers, items, strict=True):
            bullet = MarkdownBullet()
            bullet.symbol = number.rjust(width)
            yield Horizontal(bullet, Vertical(*item._blocks))
        self._blocks.clear()


class GrowingMarkdown(Markdown):
    """Some blocks of Markdown. It starts empty and grows by `append`: an initial text would split blocks."""

    BLOCKS = {  # noqa: RUF012 (as in the base)
        **Markdown.BLOCKS,
        "fence": _Fence,
        "code_block": _Fence,
        "ordered_list_open": _NumberedList,
    }

    def __init__(self) -> None:
        super().__init__(parser_factory=parser, open_links=False)
