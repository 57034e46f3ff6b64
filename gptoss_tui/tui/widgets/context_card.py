"""The card of a cut in what the model is shown: a line that opens onto what was left out, or summed up."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Click
from textual.widgets import Static

from gptoss_tui.events.events import ContextCut
from gptoss_tui.events.printable import printable


class ContextCard(Vertical):
    """Shows one cut: folded, what was done and the tokens; open, the summary and the turns as well."""

    def __init__(self, cut: ContextCut, *, opened: bool = False) -> None:
        super().__init__()
        self.is_open = opened
        self._cut = cut

    def compose(self) -> ComposeResult:
        yield Static(classes="title", markup=False)
        with Vertical(classes="body"):
            yield Static(Content(self._cut.remark), classes="notes", markup=False)
            if self._cut.summary:
                yield Static(Content(printable(self._cut.summary)), classes="summary", markup=False)
            if self._cut.turns:
                lines = [f"› {printable(text)}" for text in self._cut.turns]
                yield Static(Content("\n".join(lines)), classes="turns", markup=False)

    def on_mount(self) -> None:
        self.open(self.is_open)

    def open(self, opened: bool) -> None:
        """Fold or unfold the card."""
        self.is_open = opened
        if self.children:
            self.query_one(".title", Static).update(self._title())
            self.query_one(".body").display = opened

    def on_click(self, event: Click) -> None:
        if event.widget is self.query_one(".title"):
            self.open(not self.is_open)

    def _title(self) -> Content:
        mark = "▾" if self.is_open else "▸"
        return Content.assemble((f"{mark} ≡ ", "$muted"), (printable(self._cut.headline), "$text-warning"))
