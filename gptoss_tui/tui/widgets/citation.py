"""A citation on the screen: a link that names the host. A click on it shows the page and the quotation."""

from __future__ import annotations

import re

from gptoss_tui.agent.citations import place
from gptoss_tui.events.events import Cited
from gptoss_tui.events.printable import printable
from gptoss_tui.tools.browser.address import domain
from gptoss_tui.tools.browser.citations import Citation, Mark, ShownPages
from gptoss_tui.tui.widgets.dialect import literal

# A scheme for this application only: a click looks the page up, so that no address can hide in the link.
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
    """The text with the words of each citation in place of its link, where Markdown is not rendered yet."""
    return _LINK.sub(r"\1", text)


def address(url: str) -> str:
    """The address of a link, printable; with the host in ASCII where the address could deceive."""
    host = domain(url)
    written = re.split("[/?#]", url.lower().partition("://")[2])[0]
    return printable(url if host in ("", written) else f"{url} (that is {host})")


def explanation(href: str, pages: ShownPages) -> str | None:
    """The text that a click on the link shows, printable; None if `href` is no citation."""
    target = _TARGET.fullmatch(href)
    if target is None:
        return None
    cursor, first, last = map(int, target.groups())
    mark = Mark(f"【{cursor}†L{first}-L{last}】", cursor, first, last)
    match pages.resolve(mark):
        case Citation(title=title, url=url, quote=quote):
            excerpt = quote if len(quote) <= _LONGEST_QUOTE else f"{quote[:_LONGEST_QUOTE]} …"
            return f"{printable(title)}\n{address(url)}\n\n{printable(excerpt)}"
        case unverified:
            return f"Unverified: {unverified.reason}."
