"""What the person said."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from gptoss_tui.events.printable import printable

# A pasted book is kept and sent whole; laying it out on the screen would stop the screen.
_MOST_CHARACTERS = 20_000


class UserMessage(Static):
    """One message of the person, as typed."""

    def __init__(self, text: str) -> None:
        shown = printable(text[:_MOST_CHARACTERS])
        if len(text) > _MOST_CHARACTERS:
            shown += f"\n… {len(text) - _MOST_CHARACTERS:,} more characters, which the model was given …"
        super().__init__(Content(shown), markup=False)
