"""Writes a page's contents as text, line by line, with its links marked."""

from __future__ import annotations

from .address import domain
from .characters import visible

LONGEST_TEXT = 2_000_000  # characters
MOST_LINKS = 20_000
DEEPEST = 12  # prefixes; deeper levels are not indented further
FENCE = "```"  # around preformatted text


class Full(Exception):
    """The text has reached `LONGEST_TEXT`."""


class Lines:
    """Text in document order, with block breaks, prefixes (of lists, quotes) and inline marks.

    The opening string of an inline mark appears only once text follows, so that an empty link or superscript
    leaves no trace. A link across a block break is closed before the break and opened again after it, so that
    each mark stands on one line.
    """

    def __init__(self, url: str) -> None:
        self.links: list[str] = []
        self.images = 0
        self._domain = domain(url)
        self._numbers: dict[str, int] = {}
        self._done: list[str] = []
        self._size = 0
        self._line: list[str] = []
        self._space = False
        self._waiting: list[str] = []  # opened inline marks without text so far
        self._link: tuple[str, str] | None = None
        self._prefixes: list[str] = []
        self._deeper = 0  # indentations beyond the deepest
        self._bullets: dict[int, str] = {}  # bullets in the place of a prefix on the next line
        self._preformatted = 0  # the number of open preformatted elements

    @property
    def is_preformatted(self) -> bool:
        """Whether the place is within preformatted text."""
        return self._preformatted > 0

    def text(self, text: str) -> None:
        """Add a run of text; outside `preformatted` its whitespace is collapsed."""
        text = visible(text)
        if self._link is not None:
            text = text.replace("†", "‡")
        if self._preformatted:
            first, *rest = text.expandtabs(8).split("\n")
            self._put(first)
            for line in rest:
                self.line_break()
                self._put(line)
            return
        words = text.split()
        if not words:
            self._space = self._space or bool(text)
            return
        self._space = self._space or text[0].isspace()
        self._put(" ".join(words))
        self._space = text[-1].isspace()

    def _put(self, text: str) -> None:
        if not text:
            return
        if self._space and self._line and not self._preformatted:
            self._line.append(" ")
        self._space = False
        self._line += [*self._waiting, text]
        self._waiting.clear()
        self._size += len(text) + 1
        if self._size > LONGEST_TEXT:
            raise Full

    def open(self, mark: str, *, first: bool = False) -> None:
        """Write `mark` before the next text; if `first`, before other waiting marks."""
        self._waiting.insert(0 if first else len(self._waiting), mark)

    def close(self, mark: str, closing: str) -> None:
        """Write `closing` if text followed `open(mark)`; otherwise leave both out."""
        if mark in self._waiting:
            while self._waiting.pop() != mark:
                pass
        else:
            self._line.append(closing)

    def open_link(self, url: str) -> bool:
        """Begin a link; false if one is already open or there are too many."""
        if self._link is not None or (url not in self._numbers and len(self.links) >= MOST_LINKS):
            return False
        number = self._numbers.setdefault(url, len(self.links))
        if number == len(self.links):
            self.links.append(url)
        host = domain(url)
        self._link = (f"【{number}†", f"†{host}】" if host != self._domain else "】")
        self.open(self._link[0])
        return True

    def close_link(self) -> None:
        """End the open link."""
        assert self._link is not None
        link, self._link = self._link, None
        self.close(*link)

    def image(self, name: str) -> None:
        """An image, numbered in the order of the page."""
        self.text(f"[Image {self.images}: {name}]" if name else f"[Image {self.images}]")
        self.images += 1

    def line_break(self) -> None:
        """End the line; within preformatted text that may leave an empty one."""
        link = self._link
        if link is not None and link[0] not in self._waiting:
            self._line.append(link[1])
        else:
            link = None
        text = "".join(self._line).rstrip()
        if text or (self._preformatted and self._done[-1] != self._prefix() + FENCE):
            self._add(text)
        self._line.clear()
        self._space = False
        if link is not None:
            self._waiting.append(link[0])

    def _add(self, text: str) -> None:
        line = (self._prefix() + text).rstrip()
        self._bullets.clear()
        self._size += len(line) - len(text)
        self._done.append(line)

    def _prefix(self) -> str:
        return "".join(self._bullets.get(depth, prefix) for depth, prefix in enumerate(self._prefixes))

    def end_line(self) -> None:
        """End the line if there is anything on it."""
        if self._line:
            self.line_break()

    def blank(self) -> None:
        """End the line, and separate the following text by one empty line."""
        self.end_line()
        if self._done and self._done[-1] and not self._bullets:
            self._size += 1
            self._done.append("")

    def indent(self, prefix: str, bullet: str | None = None) -> None:
        """Put `prefix` before the following lines, but `bullet` before the first of them."""
        self.end_line()
        if len(self._prefixes) == DEEPEST:
            self._deeper += 1
            return
        if bullet is not None:
            self._bullets[len(self._prefixes)] = bullet
        self._prefixes.append(prefix)

    def dedent(self) -> None:
        """Undo the last `indent`."""
        self.end_line()
        if self._deeper:
            self._deeper -= 1
            return
        self._prefixes.pop()
        self._bullets.pop(len(self._prefixes), None)

    @property
    def on_empty_line(self) -> bool:
        """Whether the line is still empty."""
        return not self._line

    def height(self) -> int:
        """The number of finished lines."""
        return len(self._done)

    def cell(self) -> None:
        """Begin another cell of a table's row, on the same line."""
        if self._link is not None and self._link[0] not in self._waiting:
            self._line.append(self._link[1])
            self._waiting.append(self._link[0])
        self._line.append(" |" if self._line else "|")
        self._space = True

    def end_row(self) -> None:
        """End a table's row; a row of empty cells leaves no line."""
        if not "".join(self._line).strip(" |"):
            self._line.clear()
        self.end_line()

    def begin_preformatted(self) -> None:
        """Keep whitespace and newlines as they are from here on."""
        self.blank()
        if not self._preformatted:
            self._add(FENCE)
        self._preformatted += 1

    def end_preformatted(self) -> None:
        """Undo the last `begin_preformatted`."""
        self.end_line()
        self._preformatted -= 1
        if not self._preformatted:
            self._add(FENCE)
            self.blank()

    def finished(self) -> str:
        """The whole text."""
        self._preformatted = 0
        self.end_line()
        return "\n".join(self._done).strip("\n")
