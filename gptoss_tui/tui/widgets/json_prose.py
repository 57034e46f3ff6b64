"""An answer in JSON: a code block with one member on a line, laid out while the answer is written."""

from __future__ import annotations

from gptoss_tui.tui.widgets.prose import Prose

_INDENT = "  "
_DEEPEST = 40
_FENCE = "~" * 40  # longer than any that a broken document may hold


class JsonProse(Prose):
    """Shows an object or an array as code, and any other text as Prose does.

    It changes only the white space between tokens: numbers and strings stay as the model wrote them.
    """

    def __init__(self, *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._formatter: JsonFormatter | None = None

    def write(self, text: str) -> None:
        if not self.text:
            text = text.lstrip()
            if text.startswith(("{", "[")):
                self._formatter = JsonFormatter()
                self.add_class("-json")
                super().write(_FENCE + "json\n")
        super().write(self._formatter.feed(text) if self._formatter else text)


class JsonFormatter:
    """Indents JSON that comes in pieces of any size. It takes any text and drops only white space."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._before = ""  # the white space before the next token

    def feed(self, text: str) -> str:
        """The indented form of the next piece."""
        return "".join(map(self._character, text))

    def _character(self, character: str) -> str:
        if self._in_string:
            self._in_string = self._escaped or character != '"'
            self._escaped = character == "\\" and not self._escaped
            return character
        if character.isspace():
            return ""
        before, self._before = self._before, ""
        match character:
            case '"':
                self._in_string = True
            case "{" | "[":
                self._depth += 1
                self._before = self._line()
            case "}" | "]":
                self._depth = max(0, self._depth - 1)
                before = "" if before else self._line()  # brackets around nothing stay together
            case ",":
                self._before = self._line()
            case ":":
                self._before = " "
        return before + character

    def _line(self) -> str:
        return "\n" + _INDENT * min(self._depth, _DEEPEST)
