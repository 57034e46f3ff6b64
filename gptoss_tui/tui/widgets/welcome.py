"""The welcome in an empty conversation."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from gptoss_tui.events.printable import printable

# The name of the embedded checkpoint, repeated here because its own module is heavy to import.
DEMO = "demo"

_ABOUT_DEMO = (
    "The model that comes with the program: a tiny gpt-oss that shows how everything works. It can greet, "
    "remember a name and let Python do sums; it knows next to nothing else.\n"
    "For the real one:  gptoss-chat -m PATH/TO/gpt-oss-20b"
)


class Welcome(Static):
    """Shows the model's name, a description of the demo model, and three hints."""

    def __init__(self, model: str) -> None:
        hints = (
            ("Enter", "send; Shift+Enter or Ctrl+J for a new line"),
            ("Shift+Tab", "how long the model thinks"),
            ("F1", "every key and command"),
        )
        lines = [Content.assemble((f"{key:<11}", "$text-primary"), (text, "$muted")) for key, text in hints]
        about = [Content.styled(_ABOUT_DEMO, "$muted"), Content("")] if model == DEMO else []
        name = Content.styled(printable(model), "bold $foreground")
        super().__init__(Content("\n").join([name, Content(""), *about, *lines]), markup=False)
