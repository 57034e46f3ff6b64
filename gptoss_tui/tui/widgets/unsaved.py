"""The line above the composer while the conversation cannot be saved."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from gptoss_tui.events.printable import printable


class UnsavedLine(Static):
    """Shows why nothing can be saved, and takes no room while everything can be."""

    def __init__(self) -> None:
        super().__init__(markup=False)

    def show(self, trouble: str) -> None:
        """Show `trouble`, a text from any source; "" hides the line."""
        self.display = bool(trouble)
        self.update(Content.assemble(("× ", "$text-error"), (printable(trouble), "$text-error")))
