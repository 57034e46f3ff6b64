"""The question whether a call may run."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, Literal

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Static

from gptoss_tui.widgets import keys

Answer = Literal["once", "session", "no"]

# Keys that were meant for the composer must not approve anything.
GRACE_S: Final = 0.5

_LABELS: Final[dict[Answer, str]] = {"no": "n  No", "once": "y  Once", "session": "a  This session"}


class ApprovalPrompt(Vertical):
    """Asks inside the call's card; the full arguments are shown above it.

    No key and no click counts during the first half second, and one that comes too early starts the half
    second again, so that somebody who is typing answers nothing. The first answer is final.
    """

    BINDINGS = keys.APPROVAL

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where
        self._answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._deaf_until = monotonic() + GRACE_S
        self._focused_before: Widget | None = None

    def compose(self) -> ComposeResult:
        where = f"It runs {self._where}." if self._where else ""
        yield Static(Content.assemble(("Run this call? ", "bold $text-warning"), where), classes="question")
        with Horizontal(classes="answers"):
            for answer, label in _LABELS.items():
                yield Button(Content(label), id=answer, compact=True)

    def on_mount(self) -> None:
        self._deaf_until = monotonic() + GRACE_S
        self._focused_before = self.screen.focused
        self.query_one("#no", Button).focus()

    async def leave(self) -> None:
        """Disappear, and give the focus back to where it was."""
        if self._focused_before is not None and self.has_focus_within:
            self._focused_before.focus(scroll_visible=False)
        await self.remove()

    async def answer(self) -> Answer:
        """Wait for the person."""
        return await self._answer

    def refuse(self) -> None:
        """The turn is over: nobody is asked any more."""
        if not self._answer.done():
            self._answer.set_result("no")

    def action_answer(self, answer: Answer) -> None:
        if monotonic() < self._deaf_until:
            self._deaf_until = monotonic() + GRACE_S
        elif not self._answer.done():
            self._answer.set_result(answer)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        match event.button.id:
            case "once" | "session" | "no" as answer:
                self.action_answer(answer)
