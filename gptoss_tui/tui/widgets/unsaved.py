"""The line that stands above the composer for as long as the conversation cannot be saved."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from gptoss_tui.events.printable import printable


class UnsavedLine(Static):
    """Why nothing is saved; takes no room while all is well."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def show(self, trouble: str) -> None:
        """Say `trouble`, text from anywhere; "" for nothing."""
        self.display = bool(trouble)
        self.update(Content.assemble(("× ", "$text-error"), (printable(trouble), "$text-error")))
