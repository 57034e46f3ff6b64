"""The transcript: the messages of the conversation from top to bottom, with the newest in view."""

from __future__ import annotations

from typing import Final

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

# Every displayed widget makes every layout slower (by about 0.1 ms); hidden widgets cost nothing.
_MOST_WIDGETS: Final = 1_000
_REVEALED_AT_ONCE: Final = 10


class _Earlier(Static):
    """The line in place of the hidden messages."""

    hidden = 0

    def count(self, hidden: int) -> None:
        self.hidden = hidden
        self.display = hidden > 0
        self.update(f"⋯ {hidden} earlier messages: click, or press Home twice, to show more")


class Transcript(VerticalScroll):
    """Follows the end until the person scrolls up, and again once they are back at the end.

    Old messages are hidden, never removed, so that at most about a thousand widgets are laid out.
    """

    def compose(self) -> ComposeResult:
        earlier = _Earlier(markup=False)
        earlier.display = False
        with Vertical():
            yield earlier

    def on_mount(self) -> None:
        self.anchor()

    async def add(self, message: Widget) -> None:
        """Append a message and scroll to the end."""
        self.anchor()
        await self._column.mount(message)
        self._hide_old()

    async def clear(self) -> None:
        """Remove every message."""
        await self._column.remove_children(self._messages())
        self.query_one(_Earlier).count(0)
        self.anchor()

    def reveal(self) -> None:
        """Show some of the hidden messages."""
        hidden = [message for message in self._messages() if not message.display]
        for message in hidden[-_REVEALED_AT_ONCE:]:
            message.display = True
        self.query_one(_Earlier).count(max(0, len(hidden) - _REVEALED_AT_ONCE))

    def action_scroll_home(self) -> None:
        if self.scroll_y == 0:
            self.reveal()
        super().action_scroll_home()

    def on_click(self, event: events.Click) -> None:
        if isinstance(event.widget, _Earlier):
            self.reveal()

    @property
    def _column(self) -> Vertical:
        return self.query_one(Vertical)

    def _messages(self) -> list[Widget]:
        return [child for child in self._column.children if not isinstance(child, _Earlier)]

    def _hide_old(self) -> None:
        """Hide the oldest messages beyond the bound, but never the last two."""
        messages, room = self._messages(), _MOST_WIDGETS
        hidden = 0
        for back, message in enumerate(reversed(messages)):
            room -= len(message.walk_children()) + 1
            message.display = back < 2 or (room > 0 and not hidden)
            hidden += not message.display
        self.query_one(_Earlier).count(hidden)
