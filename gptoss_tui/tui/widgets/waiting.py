"""What waits to be sent, or could be typed: the strip above the composer."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from gptoss_tui.commands import Command

_MOST_SHOWN = 3


class Waiting(Static):
    """The messages in the queue, oldest first; takes no room while there are none."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def show(self, messages: Sequence[str], when: str) -> None:
        """List `messages`, printable already; `when` says when they will be sent."""
        self.display = bool(messages)
        lines = [f"{number}  {text.strip().splitlines()[0]}" for number, text in enumerate(messages, 1)]
        more = len(lines) - _MOST_SHOWN
        if more > 0:
            lines = [f"   … {more} more before these", *lines[-_MOST_SHOWN:]]
        title = f"{len(messages)} queued, sent {when} · Up takes the last one back"
        self.update(Content.styled("\n", "$muted").join([Content(line) for line in (title, *lines)]))


class CommandHints(Static):
    """The slash commands that fit what is typed."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def show(self, commands: Sequence[Command]) -> None:
        """List `commands`; takes no room when there are none."""
        self.display = bool(commands)
        lines = [
            Content.assemble((f"{command.usage:<28}", "$text-primary"), (command.summary, "$muted"))
            for command in commands
        ]
        self.update(Content("\n").join(lines))
