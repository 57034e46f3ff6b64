"""The composer: the editor in which the person writes messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from textual import events
from textual.message import Message

from gptoss_tui.commands import starting_with
from gptoss_tui.tui.widgets import keys
from gptoss_tui.tui.widgets.editor import Editor

_MOST_CHARACTERS: Final = 200_000


class Composer(Editor):
    """An editor for a text of any number of lines, which Enter sends.

    Up and Down move the cursor; from the first and the last line they lead through the earlier messages. A
    paste only inserts text.
    """

    BINDINGS = keys.COMPOSER

    @dataclass
    class Sent(Message):
        """The person sent `text`, which is not blank."""

        text: str

    def __init__(self, take_back: Callable[[], str | None]) -> None:
        """`take_back` removes and returns the last message that waits to be sent, if any.

        `leaving` are the messages that were sent and whose receiver has not called `forget` yet.
        """
        super().__init__(
            show_line_numbers=False,
            soft_wrap=True,
            compact=True,
            highlight_cursor_line=False,
            tab_behavior="focus",
        )
        self.cursor_blink = False
        self.leaving: list[str] = []
        self._take_back = take_back
        self._history: list[str] = []
        self._position = 0
        self._draft = ""

    def replace_text(self, text: str) -> None:
        """Replace the text, with the cursor at its end."""
        self.text = text
        self.move_cursor(self.document.end)

    def give_back(self, text: str) -> None:
        """Put back a message that was not sent, before what the person has written since."""
        self.replace_text(f"{text}\n\n{self.text}" if self.text.strip() else text)

    def forget(self, text: str) -> None:
        """Forget the sent message `text`, which its receiver has now."""
        if text in self.leaving:
            self.leaving.remove(text)

    def clear_draft(self) -> None:
        """Empty the composer; Up brings the draft back."""
        self._remember(self.text)
        self.text = ""

    def action_newline(self) -> None:
        self.insert("\n")

    def action_send(self) -> None:
        row, column = self.cursor_location
        if self.document.get_line(row)[:column].endswith("\\"):
            self.action_delete_left()
            self.insert("\n")
            return
        text = self.text.strip("\n")
        if text.strip():
            self.leaving.append(text)
            self.clear_draft()
            self.post_message(self.Sent(text))

    def action_complete(self) -> None:
        commands = starting_with(self.text)
        if commands:
            self.replace_text(f"/{commands[0].name} ")
        else:
            self.screen.focus_next()

    def action_older(self) -> None:
        if not self.navigator.is_first_wrapped_line(self.cursor_location):
            self.action_cursor_up()
        elif not self.text and (waiting := self._take_back()) is not None:
            self.replace_text(waiting)
        else:
            self._walk(-1)

    def action_newer(self) -> None:
        if not self.navigator.is_last_wrapped_line(self.cursor_location):
            self.action_cursor_down()
        else:
            self._walk(1)

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "question_mark" and not self.text:
            event.stop()
            event.prevent_default()
            await self.run_action("app.help")

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.paste(event.text)

    def paste(self, text: str) -> None:
        """Replace the selection by `text`, or notify the person that it is too long."""
        room = _MOST_CHARACTERS - len(self.text)
        if len(text) > room:
            self.notify(
                f"The paste has {len(text):,} characters; the composer holds {_MOST_CHARACTERS:,}.",
                severity="warning",
                markup=False,
            )
            return
        start, end = self.selection
        self.move_cursor(self.replace(text, start, end).end_location)

    def _remember(self, text: str) -> None:
        if text.strip() and (not self._history or self._history[-1] != text):
            self._history.append(text)
        self._position = len(self._history)
        self._draft = ""

    def _walk(self, step: int) -> None:
        """Go to an older (-1) or a newer (1) text of the history. The newest text is the draft."""
        position = self._position + step
        if not 0 <= position <= len(self._history):
            return
        if self._position == len(self._history):
            self._draft = self.text
        self._position = position
        self.replace_text(self._draft if position == len(self._history) else self._history[position])
