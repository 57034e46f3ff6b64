"""The view of a page that the model was shown, read back from the tool's message."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAMES = frozenset({"browser.search", "browser.open", "browser.find"})

_VIEW = re.compile(
    r"\[(?P<cursor>\d{1,9})\] (?P<title>[^\n]*?)(?: \((?P<url>\S+)\))?\n"
    r"\*\*viewing lines \[(?P<first>\d{1,9}) - \d{1,9}\] of (?P<last>\d{1,9})\*\*\n\n"
)
_FIND = re.compile(r"(?P<url>\S+)/find\?pattern=[^/?#\s]*")
_FIND_TITLE = re.compile(r"Find results for text: `.*` in `(?P<title>.*)`")


@dataclass(frozen=True, slots=True)
class PageView:
    """One view of the page at `url`, which is empty for results of a search: its `lines` by number.

    `last` is the number of the page's last line. `origin` is the address of the page that a find searched, or
    else `url`; `title` is the title there.
    """

    cursor: int
    title: str
    url: str
    origin: str
    lines: dict[int, str]
    last: int


def read_view(name: str, output: str) -> PageView | None:
    """The view in `output`, the message of the tool called `name`; None if it shows no page."""
    view = _VIEW.match(output)
    if view is None or name.removeprefix("functions.") not in NAMES:
        return None
    first = int(view["first"])
    lines: dict[int, str] = {}
    for number, line in enumerate(output[view.end() :].split("\n"), first):
        label = f"L{number}: "
        if not line.startswith(label):
            break
        lines[number] = line.removeprefix(label)
    title, url = view["title"], view["url"] or ""
    found, told = _FIND.fullmatch(url), _FIND_TITLE.fullmatch(title)
    if found and told:
        return PageView(int(view["cursor"]), told["title"], url, found["url"], lines, int(view["last"]))
    url = url.removeprefix("view-source:")
    return PageView(int(view["cursor"]), title, url, url, lines, int(view["last"]))
