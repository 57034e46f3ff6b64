"""A question inside the conversation, with buttons and keys to answer it."""

from __future__ import annotations

from time import monotonic
from typing import Final, Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.containers import ItemGrid, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button

from gptoss_tui.permissions.question import Ballot

AnswerT = TypeVar("AnswerT")

# In this time, keys that were meant for the composer answer nothing.
GRACE_S: Final = 0.5


class Prompt(Vertical, Generic[AnswerT]):
    """Asks a question, whose first answer is final.

    No key and no click counts during the first half second, and an early one starts the half second again, so
    that a person who is typing answers nothing. The focus starts on the first button, which must be harmless.
    """

    def __init__(self, buttons: dict[str, str]) -> None:
        """`buttons` are the labels by the name that `choose` takes."""
        super().__init__()
        self._buttons = buttons
        self._ballot: Ballot[AnswerT] = Ballot()
        self._deaf_until = monotonic() + GRACE_S
        self._focused_before: Widget | None = None

    def compose(self) -> ComposeResult:
        with ItemGrid(classes="answers", min_column_width=max(map(len, self._buttons.values())) + 5):
            for name, label in self._buttons.items():
                yield Button(Content(label), id=name, compact=True)

    def on_mount(self) -> None:
        self.listen_anew()
        self._focused_before = self.screen.focused
        self.focus_first()

    def listen_anew(self) -> None:
        """Ignore keys for half a second again, because the question has just come into view."""
        self._deaf_until = monotonic() + GRACE_S

    def focus_first(self) -> None:
        """Focus the harmless answer, and bring all answers into view."""
        self.query(Button).first().focus(scroll_visible=False)
        self.show_answers()

    def show_answers(self) -> None:
        """Bring the buttons into view, once the layout is known."""
        self.call_after_refresh(self._fit)

    def fit(self, room: int) -> None:
        """Shrink to `room` lines, if possible."""

    def on_resize(self) -> None:
        self.show_answers()

    def on_key(self, event: events.Key) -> None:
        """Restart the half second for a key that came early, although it may be handled late."""
        if event.time < self._deaf_until:
            self.listen_anew()

    async def answer(self) -> AnswerT:
        """Wait for the person's answer."""
        return await self._ballot.result()

    async def leave(self) -> None:
        """Remove the prompt, and give the focus back."""
        self._give_focus_back()
        await self.remove()

    def refuse(self) -> None:
        """Answer no, because the turn is over."""
        raise NotImplementedError

    def step_back(self) -> None:
        """Act on Esc while the focus is elsewhere."""
        raise NotImplementedError

    def choose(self, name: str) -> None:
        """Act on the button `name`, or on its key."""
        raise NotImplementedError

    def action_choose(self, name: str) -> None:
        if not self._is_early():
            self.choose(name)

    def action_step(self, step: int) -> None:
        """Focus the next answer, or the answer before."""
        buttons = list(self.query(Button))
        focused = self.screen.focused
        place = buttons.index(focused) if isinstance(focused, Button) and focused in buttons else -step
        buttons[(place + step) % len(buttons)].focus(scroll_visible=False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_choose(event.button.id or "")

    def _cast(self, answer: AnswerT) -> None:
        """Give the answer, and the focus back, for the next keys are meant for the widget that had it."""
        if self._ballot.cast(answer):
            self._give_focus_back()

    def _give_focus_back(self) -> None:
        if self._focused_before is not None and self.has_focus_within:
            self._focused_before.focus(scroll_visible=False)

    def _is_early(self) -> bool:
        """Whether a key or a click came before anybody can have read the question."""
        is_early = monotonic() < self._deaf_until
        if is_early:
            self._deaf_until = monotonic() + GRACE_S
        return is_early

    def _fit(self) -> None:
        # An answered prompt loses one widget after the other.
        if not self.is_attached or self._ballot.is_over:
            return
        view = next(widget for widget in self.ancestors if isinstance(widget, VerticalScroll | Screen))
        self.fit(view.size.height)
        self.call_after_refresh(self._scroll_to_end)

    def _scroll_to_end(self) -> None:
        if self.is_attached and not self._ballot.is_over:
            self.children[-1].scroll_visible(animate=False)
