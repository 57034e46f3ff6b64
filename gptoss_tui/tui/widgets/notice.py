"""A notice: a sentence of the application to the person, between the messages."""

from __future__ import annotations

from typing import Literal

from textual.content import Content
from textual.widgets import Static

from gptoss_tui.events.printable import printable

Severity = Literal["information", "warning", "error"]

_MARKS: dict[Severity, tuple[str, str]] = {
    "information": ("·", "$muted"),
    "warning": ("!", "$text-warning"),
    "error": ("×", "$text-error"),
}


class Notice(Static):
    """One notice; `text` may come from any source."""

    def __init__(self, text: str, severity: Severity = "information") -> None:
        mark, style = _MARKS[severity]
        super().__init__(Content.assemble((f"{mark} ", style), (printable(text), style)), markup=False)
