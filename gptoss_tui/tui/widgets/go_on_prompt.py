"""The prompt that asks whether a turn with many calls goes on."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from gptoss_tui.permissions.question import GoOn, Pause
from gptoss_tui.tui.widgets import keys
from gptoss_tui.tui.widgets.prompt import Prompt


class GoOnPrompt(Prompt[GoOn]):
    """Asks whether the turn goes on, answers now, or stops."""

    BINDINGS = keys.GO_ON

    def __init__(self, pause: Pause) -> None:
        super().__init__({"stop": "s  Stop", "answer": "w  Answer now", "continue": "c  Continue"})
        self._pause = pause

    def compose(self) -> ComposeResult:
        yield Static(
            Content.assemble((f"{self._pause.sentence} ", "bold $text-warning"), "Shall it go on?"),
            classes="question",
        )
        yield from super().compose()

    def refuse(self) -> None:
        self._cast(GoOn.STOP)

    def step_back(self) -> None:
        self.action_choose("stop")

    def choose(self, name: str) -> None:
        self._cast(GoOn(name))
