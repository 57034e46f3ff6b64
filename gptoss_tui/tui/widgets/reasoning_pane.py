"""The pane of the model's raw chain of thought, folded to one line unless the person opens it."""

from __future__ import annotations

from enum import StrEnum
from time import monotonic

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from gptoss_tui.agent.reasoning import LABEL
from gptoss_tui.settings import Reasoning
from gptoss_tui.tui.widgets.plain_text import PlainText


class View(StrEnum):
    """The view of the reasoning: one line, the last lines, or all of it."""

    LINE = "line"
    TAIL = "tail"
    FULL = "full"

    @classmethod
    def first(cls, setting: Reasoning) -> View | None:
        """The first view; None when the reasoning is hidden and cannot be opened."""
        return {"folded": cls.LINE, "hidden": None, "raw": cls.FULL}[setting]

    def next(self) -> View:
        """The view after one press of the thinking key."""
        order = list(View)
        return order[(order.index(self) + 1) % len(order)]


class ReasoningPane(Vertical):
    """Shows one stretch of reasoning. A folded pane draws no text; opening it draws all text so far.

    With the view None the reasoning is hidden, and the pane shows only its amount.
    """

    def __init__(self, view: View | None) -> None:
        super().__init__()
        self.text = ""
        self._view = view
        self._written = 0
        self._tokens = 0
        self._started = monotonic()
        self._ended: float | None = None

    def compose(self) -> ComposeResult:
        yield Static(self._summary(), classes="summary", markup=False)
        with VerticalScroll(classes="trace", can_focus=False) as trace:
            trace.anchor()
            yield PlainText()

    def on_mount(self) -> None:
        self._apply()

    def write(self, text: str) -> None:
        """Add the printable text of one token. `flush` draws it."""
        self.text += text
        self._written += 1

    def count(self, tokens: int) -> None:
        """Set the number of tokens so far, with and without displayed text."""
        self._tokens = tokens

    def end(self) -> None:
        """End the stretch: the model went on to something else."""
        self._ended = self._ended or monotonic()

    async def flush(self) -> None:
        """Draw the text since the last flush."""
        self._draw()

    async def finish(self) -> None:
        """Draw the final state."""
        self.end()
        self._draw()

    def show(self, view: View | None) -> None:
        """Fold or open the pane."""
        self._view = view
        if self.is_mounted:
            self._apply()

    def on_click(self, event: events.Click) -> None:
        if self._view is not None and event.widget is self.query_one(".summary"):
            self.show(View.LINE if self._view is not View.LINE else View.FULL)

    def _apply(self) -> None:
        self.query_one(".trace").display = self._view in (View.TAIL, View.FULL)
        self.set_class(self._view is View.TAIL, "-tail")
        self._draw()

    def _draw(self) -> None:
        self.query_one(".summary", Static).update(self._summary())
        if self._view in (View.TAIL, View.FULL):
            self.query_one(PlainText).show(self.text)

    def _summary(self) -> Content:
        seconds = (self._ended or monotonic()) - self._started
        tokens = max(self._tokens, self._written)
        amount = f"{seconds:.1f} s · {tokens:,} tokens"
        if tokens == 1:  # the text came in one piece, from a stored conversation
            amount = f"{len(self.text.split()):,} words"
        mark = {View.LINE: "▸", None: "·"}.get(self._view, "▾")
        label = "reasoning hidden" if self._view is None else LABEL
        return Content.assemble((f"{mark} ", "$muted"), (label, "$muted"), (f" · {amount}", "$faint"))
