"""The help screen: every key and every command, from their registries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from gptoss_tui.commands import COMMANDS
from gptoss_tui.widgets import keys

_COLUMN = 30


class HelpScreen(ModalScreen[None]):
    """Lists what can be pressed and typed."""

    BINDINGS: ClassVar = [
        Binding("escape,f1,q,question_mark", "dismiss", "Close", show=False, id="help.close")
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Keys and commands"
            box.border_subtitle = "Esc closes"
            for section in keys.SECTIONS:
                yield _table(
                    section.title, ((b.key_display or b.key, b.description) for b in section.bindings)
                )
            yield _table("Commands", ((command.usage, command.summary) for command in COMMANDS))


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Static:
    lines = [Content.styled(title, "bold $text-primary")]
    for left, right in rows:
        if right:
            lines.append(Content.assemble((f"{left:<{_COLUMN}}", "$foreground"), (right, "$muted")))
    return Static(Content("\n").join(lines), markup=False)
