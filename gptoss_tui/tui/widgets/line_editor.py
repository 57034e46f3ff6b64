"""The editor inside a question, for the arguments of a call or the reason for a no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual import events
from textual.message import Message

from gptoss_tui.tui.widgets import keys
from gptoss_tui.tui.widgets.editor import Editor

_MOST_PASTED: Final = 100_000


class LineEditor(Editor):
    """An editor for a few lines, which Enter confirms and Esc cancels."""

    BINDINGS = keys.LINE_EDITOR

    @dataclass
    class Done(Message):
        """The person confirmed `text`, or cancelled: None."""

        editor: LineEditor
        text: str | None

    def __init__(self, text: str, hint: str) -> None:
        """`text` must be printable."""
        super().__init__(
            text,
            show_line_numbers=False,
            soft_wrap=True,
            compact=True,
            highlight_cursor_line=False,
            tab_behavior="indent",
        )
        self.cursor_blink = False
        self.border_title = hint

    def on_mount(self) -> None:
        self.move_cursor(self.document.end)

    def action_done(self) -> None:
        self.post_message(self.Done(self, self.text))

    def action_newline(self) -> None:
        self.insert("\n")

    def action_leave(self) -> None:
        self.post_message(self.Done(self, None))

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        start, end = self.selection
        self.move_cursor(self.replace(event.text[:_MOST_PASTED], start, end).end_location)
