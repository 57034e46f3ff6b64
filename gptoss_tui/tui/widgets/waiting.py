"""The strip above the composer: the messages in the queue, and the commands that fit the typed text."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from gptoss_tui.commands import Command

_MOST_SHOWN = 3


class Waiting(Static):
    """Shows the messages in the queue, oldest first. It takes no room while there are none."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def show(self, messages: Sequence[str], when: str) -> None:
        """List `messages`, which must be printable; `when` is the time when they will be sent, in words."""
        self.display = bool(messages)
        lines = [f"{number}  {text.strip().splitlines()[0]}" for number, text in enumerate(messages, 1)]
        more = len(lines) - _MOST_SHOWN
        if more > 0:
            lines = [f"   … {more} more before these", *lines[-_MOST_SHOWN:]]
        title = f"{len(messages)} queued, sent {when} · Up takes the last one back"
        self.update(Content.styled("\n", "$muted").join([Content(line) for line in (title, *lines)]))


class CommandHints(Static):
    """Shows the slash commands that fit the typed text."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def show(self, commands: Sequence[Command]) -> None:
        """List `commands`; an empty list hides the widget."""
        self.display = bool(commands)
        lines = [
            Content.assemble((f"{command.usage:<28}", "$text-primary"), (command.summary, "$muted"))
            for command in commands
        ]
        self.update(Content("\n").join(lines))
