"""HTML to text and links, in a process of its own (worker.py), because markup may be hostile.

The model sees nothing that people do not see: no comments, no scripts, no elements hidden by an attribute or
by their own `style`. Style sheets are not read, so an element that only those hide is read like any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from .address import join
from .characters import one_line
from .lines import Full, Lines

TOO_LONG = "[The page is cut here: the rest is too long to be read.]"
TOO_DEEP = "[The page is cut here: what follows is nested too deeply.]"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SKIPPED = _words(
    "audio base canvas datalist embed frame frameset iframe input link meta noframes noscript object param"
    " script select style svg template textarea title video"
)
_BLANK = _words(
    "article aside blockquote dl fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr main nav ol p pre"
    " section table ul"
)
_LINE = _words("address body caption center dd details dialog div dt figcaption legend li summary tr")
_INLINE = {"sup": ("^{", "}"), "sub": ("_{", "}"), "code": ("`", "`"), "q": ("“", "”")}
_LISTS = frozenset(("ul", "ol", "menu"))

_ZERO = r"0*\.?0+(px|em|rem|%|pt)?(;|$)"
_HIDING = re.compile(
    r"(^|;)(display:none|visibility:(hidden|collapse)|content-visibility:hidden"
    rf"|(opacity|font-size|max-height|max-width):{_ZERO}"
    r"|(left|top|right|bottom|text-indent|margin-left|margin-top):-\d{3,}"
    r"|clip:rect\((0|1px|0px)|clip-path:inset\((50|100)%|color:transparent|transform:scale\(0\))"
)
_COLOUR = re.compile(r"(?:^|;)color:([^;]+)")
_BACKGROUND = re.compile(r"(?:^|;)background(?:-color)?:([^;]+)")


@dataclass(slots=True)
class Walk:
    """The contents of a page: `text` in lines that are not yet wrapped, `links` by their number."""

    title: str
    text: str
    links: list[str] = field(default_factory=list)


def walk(html: str, url: str) -> Walk:
    """Read the page `html` from `url`. Raises only where memory runs out."""
    # Bytes in the parser's own encoding: it would refuse a string that declares another encoding.
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, no_network=True)
    root = etree.fromstring(html.encode("utf-8", "replace"), parser)  # None where there is no element at all
    walker = _Walker(url)
    note = ""
    if root is not None:
        try:
            walker.read(root)
        except Full:
            note = TOO_LONG
        if not note and any(error.type_name == "ERR_RESOURCE_LIMIT" for error in parser.error_log):
            note = TOO_DEEP
    text = walker.lines.finished()
    return Walk(walker.title, f"{text}\n\n{note}".strip("\n") if note else text, walker.lines.links)


class _Walker:
    """One walk over a tree, without recursion. Each element is entered and left once."""

    def __init__(self, url: str) -> None:
        self.lines = Lines(url)
        self.title = ""
        self._url = self._base = url
        self._lists: list[int | None] = []  # the next item's number in each open list; None for bullets
        self._rows: list[int] = []  # the height of each open row at its first cell, or -1
        self._links: list[Any] = []  # the element of the open link

    def read(self, root: Any) -> None:
        skipped = None
        events = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
        for event, element in events:
            if event == "start":
                if self._skips(element):
                    skipped = element
                    events.skip_subtree()
                    continue
                self._enter(element)
                if element.text:
                    self.lines.text(element.text)
                continue
            if element is skipped:
                skipped = None
            elif event == "end":
                self._leave(element)
            if element.tail:
                self.lines.text(element.tail)

    def _skips(self, element: Any) -> bool:
        tag, has = element.tag, element.get
        if tag in _SKIPPED:
            if tag == "title" and not self.title:
                self.title = one_line(element.text or "", 300)
            if tag == "base" and self._base == self._url:
                self._base = join(self._url, has("href") or "") or self._url
            return True
        if has("hidden") is not None or (tag == "dialog" and has("open") is None):
            return True
        style = has("style")
        return style is not None and hides(style)

    def _enter(self, element: Any) -> None:
        tag, lines = element.tag, self.lines
        if tag in _BLANK and not (tag in _LISTS and self._lists):
            lines.blank()
        elif tag in _LINE or tag in _LISTS:
            lines.end_line()
        if tag in _LISTS or tag == "li":
            self._enter_list(element)
        elif tag in ("tr", "td", "th"):
            self._enter_table(tag)
        elif tag in ("a", "img", "math"):
            self._enter_inline(element)
        else:
            self._enter_text(tag)

    def _enter_text(self, tag: str) -> None:
        lines = self.lines
        match tag:
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                lines.open("#" * int(tag[1]) + " ", first=True)
            case "sup" | "sub" | "code" | "q":
                if tag != "code" or not lines.is_preformatted:
                    lines.open(_INLINE[tag][0])
            case "br":
                if lines.on_empty_line:
                    lines.blank()
                else:
                    lines.line_break()
            case "hr":
                lines.text("* * *")
            case "pre":
                lines.begin_preformatted()
            case "blockquote":
                lines.indent("> ")
            case "dd":
                lines.indent("    ")

    def _enter_inline(self, element: Any) -> None:
        lines = self.lines
        match element.tag:
            case "a":
                href = element.get("href")
                if href and not href.strip().startswith("#"):
                    target = join(self._base, href)
                    if target is not None and lines.open_link(target):
                        self._links.append(element)
            case "img":
                name = element.get("alt", element.get("title"))
                if name != "":  # an empty name marks an ornament
                    lines.image(one_line(name or "", 300))
            case "math":
                lines.text(one_line(element.get("alttext") or "", 300))

    def _enter_list(self, element: Any) -> None:
        match element.tag:
            case "ol":
                start = element.get("start", "")
                self._lists.append(int(start) if start.isdecimal() and len(start) < 10 else 1)
            case "li":
                bullet = "  * "
                if self._lists and (number := self._lists[-1]) is not None:
                    bullet = f"  {number}. "
                    self._lists[-1] = number + 1
                self.lines.indent(" " * len(bullet), bullet)
            case _:
                self._lists.append(None)

    def _enter_table(self, tag: str) -> None:
        if tag == "tr":
            self._rows.append(-1)
        elif self._rows and self._rows[-1] < 0:
            self._rows[-1] = self.lines.height()
        elif self._rows and self._rows[-1] == self.lines.height():
            # Cells of several lines, as in tables for layout, are put below each other instead.
            self.lines.cell()

    def _leave(self, element: Any) -> None:
        tag, lines = element.tag, self.lines
        match tag:
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                lines.close("#" * int(tag[1]) + " ", "")
            case "sup" | "sub" | "code" | "q":
                if tag != "code" or not lines.is_preformatted:
                    lines.close(*_INLINE[tag])
            case "a" if self._links and self._links[-1] is element:
                self._links.pop()
                lines.close_link()
            case "pre":
                lines.end_preformatted()
            case "blockquote" | "dd" | "li":
                lines.dedent()
            case "ul" | "ol" | "menu":
                self._lists.pop()
            case "tr":
                self._rows.pop()
                lines.end_row()
        if tag in _BLANK and not (tag in _LISTS and self._lists):
            lines.blank()
        elif tag in _LINE or tag in _LISTS:
            lines.end_line()


def hides(style: str) -> bool:
    """Whether an element's own `style` hides its text."""
    style = re.sub(r"/\*.*?\*/|\s|!important", "", style[:4000].lower(), flags=re.DOTALL)
    if _HIDING.search(style):
        return True
    colour, background = _COLOUR.search(style), _BACKGROUND.search(style)
    return colour is not None and background is not None and colour[1] == background[1]
