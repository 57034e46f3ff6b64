"""A message of the person."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from gptoss_tui.events.printable import printable

# A pasted book is sent whole, but laying it out would stop the screen.
_MOST_CHARACTERS = 20_000


class UserMessage(Static):
    """Shows one message of the person as typed."""

    def __init__(self, text: str) -> None:
        excerpt = printable(text[:_MOST_CHARACTERS])
        if len(text) > _MOST_CHARACTERS:
            excerpt += f"\n… {len(text) - _MOST_CHARACTERS:,} more characters, which the model was given …"
        super().__init__(Content(excerpt), markup=False)
