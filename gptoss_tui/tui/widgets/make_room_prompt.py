"""The prompt that asks what becomes of the oldest turns, when the conversation fills the context."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from gptoss_tui.permissions.question import Crowded, MakeRoom
from gptoss_tui.tui.widgets import keys
from gptoss_tui.tui.widgets.prompt import Prompt


class MakeRoomPrompt(Prompt[MakeRoom]):
    """Asks whether the oldest turns are summed up, left out, or the turn stops."""

    BINDINGS = keys.MAKE_ROOM

    def __init__(self, crowded: Crowded) -> None:
        super().__init__({"stop": "s  Stop", "compact": "c  Sum them up", "drop": "l  Leave them out"})
        self._crowded = crowded

    def compose(self) -> ComposeResult:
        what = "What becomes of its oldest turns, in what the model is shown? The history stays whole."
        yield Static(
            Content.assemble((f"{self._crowded.sentence} ", "bold $text-warning"), what), classes="question"
        )
        yield from super().compose()

    def refuse(self) -> None:
        self._cast(MakeRoom.STOP)

    def step_back(self) -> None:
        self.action_choose("stop")

    def choose(self, name: str) -> None:
        self._cast(MakeRoom(name))
