"""A citation on the screen: a link that names the host, and on a click shows the page and what it says."""

from __future__ import annotations

import re

from gptoss_tui.agent.citations import place
from gptoss_tui.events.events import Cited
from gptoss_tui.events.printable import printable
from gptoss_tui.tools.browser.address import domain
from gptoss_tui.tools.browser.citations import Citation, Mark, ShownPages
from gptoss_tui.tui.widgets.dialect import literal

# Within the application only: what it stands for is looked up, so that no address is ever hidden behind it.
_SCHEME = "cite:"
_TARGET = re.compile(r"cite:(\d{1,9})[.](\d{1,9})[.](\d{1,9})")
_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\(cite:[\d.]+\)")
_LONGEST_QUOTE = 1_000  # characters


def citation_link(cited: Cited) -> str:
    """The citation as a Markdown link for `Prose`."""
    cursor = re.sub(r"\D.*", "", cited.delta[1:])
    lines = f"L{cited.first}" if cited.first == cited.last else f"L{cited.first}–{cited.last}"
    words = f"{cited.delta} unverified" if cited.unverified else f"{literal(place(cited))} {lines}"
    return f" [{words}]({_SCHEME}{cursor}.{cited.first}.{cited.last})"


def without_targets(text: str) -> str:
    """The text with each citation's words in its place, for where Markdown is not rendered yet."""
    return _LINK.sub(r"\1", text)


def address(url: str) -> str:
    """Where a link leads, printable; with the host in ASCII beside it where the address could deceive."""
    host = domain(url)
    written = re.split("[/?#]", url.lower().partition("://")[2])[0]
    return printable(url if host in ("", written) else f"{url} (that is {host})")


def explained(href: str, pages: ShownPages) -> str | None:
    """What a click on the link tells, printable already; None if `href` is no citation."""
    target = _TARGET.fullmatch(href)
    if target is None:
        return None
    cursor, first, last = map(int, target.groups())
    mark = Mark(f"【{cursor}†L{first}-L{last}】", cursor, first, last)
    match pages.resolve(mark):
        case Citation(title=title, url=url, quote=quote):
            said = quote if len(quote) <= _LONGEST_QUOTE else f"{quote[:_LONGEST_QUOTE]} …"
            return f"{printable(title)}\n{address(url)}\n\n{printable(said)}"
        case unverified:
            return f"Unverified: {unverified.reason}."
