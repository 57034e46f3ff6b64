"""The help screen: every key and every command, from their registries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from gptoss_tui.commands import COMMANDS
from gptoss_tui.tui.widgets import keys


class HelpScreen(ModalScreen[None]):
    """Lists the keys and the commands."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q,question_mark", "dismiss", "Close", show=False, id="help.close")
    ]

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (80, "-wide")]  # noqa: RUF012 (as in the base)

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Keys and commands"
            box.border_subtitle = "Esc closes"
            for section in keys.SECTIONS:
                yield from _table(section.title, section.rows())
            yield from _table("Commands", ((command.usage, command.summary) for command in COMMANDS))


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Iterable[Widget]:
    yield Static(title, classes="title", markup=False)
    for left, right in rows:
        yield Horizontal(
            Static(left, classes="key", markup=False), Static(right, classes="what", markup=False)
        )
