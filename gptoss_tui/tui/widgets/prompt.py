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

# Keys that were meant for the composer must not answer anything.
GRACE_S: Final = 0.5


class Prompt(Vertical, Generic[AnswerT]):
    """Asks once: the first answer is final.

    No key and no click counts during the first half second, and one that comes too early starts the half
    second again, so that somebody who is typing answers nothing. The focus starts on the first button, which
    is the one that does no harm.
    """

    def __init__(self, buttons: dict[str, str]) -> None:
        """`buttons` are labels by the name that `choose` gets."""
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
        """The question is in view again: whoever was typing elsewhere answers nothing."""
        self._deaf_until = monotonic() + GRACE_S

    def focus_first(self) -> None:
        """Point at the harmless answer, and bring all of them into view."""
        self.query(Button).first().focus(scroll_visible=False)
        self.show_answers()

    def show_answers(self) -> None:
        """Bring the buttons into view, once the layout is known."""
        self.call_after_refresh(self._fit)

    def fit(self, room: int) -> None:
        """Become no higher than `room` lines, if it can be helped."""

    def on_resize(self) -> None:
        self.show_answers()

    def on_key(self, event: events.Key) -> None:
        """A key counts as early as it came, though it may have waited for those before it."""
        if event.time < self._deaf_until:
            self.listen_anew()

    async def answer(self) -> AnswerT:
        """Wait for the person."""
        return await self._ballot.result()

    async def leave(self) -> None:
        """Disappear, and give the focus back to where it was."""
        self._give_focus_back()
        await self.remove()

    def refuse(self) -> None:
        """The turn is over: nobody is asked any more."""
        raise NotImplementedError

    def step_back(self) -> None:
        """What Esc does while the focus is elsewhere."""
        raise NotImplementedError

    def choose(self, name: str) -> None:
        """The button `name` was pressed, or its key."""
        raise NotImplementedError

    def action_choose(self, name: str) -> None:
        if not self._is_early():
            self.choose(name)

    def action_step(self, step: int) -> None:
        """Point at the next answer, or the one before."""
        buttons = list(self.query(Button))
        focused = self.screen.focused
        place = buttons.index(focused) if isinstance(focused, Button) and focused in buttons else -step
        buttons[(place + step) % len(buttons)].focus(scroll_visible=False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.action_choose(event.button.id or "")

    def _cast(self, answer: AnswerT) -> None:
        """Answer. What is typed from now on is meant for where the focus was."""
        if self._ballot.cast(answer):
            self._give_focus_back()

    def _give_focus_back(self) -> None:
        if self._focused_before is not None and self.has_focus_within:
            self._focused_before.focus(scroll_visible=False)

    def _is_early(self) -> bool:
        """Whether this key came before anybody can have read the question."""
        early = monotonic() < self._deaf_until
        if early:
            self._deaf_until = monotonic() + GRACE_S
        return early

    def _fit(self) -> None:
        # Once it is answered it is taken apart, one widget after the other.
        if not self.is_attached or self._ballot.is_over:
            return
        view = next(one for one in self.ancestors if isinstance(one, VerticalScroll | Screen))
        self.fit(view.size.height)
        self.call_after_refresh(self._scroll_to_end)

    def _scroll_to_end(self) -> None:
        if self.is_attached and not self._ballot.is_over:
            self.children[-1].scroll_visible(animate=False)
