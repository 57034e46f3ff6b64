"""Citations in an answer, separated from its text: in an answer that streams, and in a past one."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote

from ..events.events import Cited, Event, OutputDelta, TokenSampled
from ..events.stream import Sink
from ..harmony.message import Message, Role
from ..tools.browser.address import domain
from ..tools.browser.citations import Citation, Mark, Marks, ShownPages, split

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~])")


class Citable:
    """The pages of a conversation that grows: each message is read once."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self._pages = ShownPages()
        self._read = 0

    def pages(self) -> ShownPages:
        """The pages shown so far."""
        for message in self.messages[self._read :]:
            if message.role is Role.TOOL and message.name:
                self._pages.read(message.name, message.text)
        self._read = len(self.messages)
        return self._pages


def pages_of(messages: Sequence[Message]) -> ShownPages:
    """The pages that the browser showed in a conversation."""
    return Citable(messages).pages()


def citing(emit: Sink, pages: Callable[[], ShownPages]) -> Sink:
    """A sink that gives `emit` each citation of the answer as an event. Half a mark waits for the rest."""
    marks = Marks()

    def take(event: Event) -> Awaitable[None]:
        """Most events go on as they are, and cost no more than this call."""
        if isinstance(event, OutputDelta):
            is_plain = not marks.pending and "【" not in event.delta
            return emit(event) if is_plain else put(marks.feed(event.delta))
        if isinstance(event, TokenSampled) or not marks.pending:
            return emit(event)
        return put(marks.finish(), event)

    async def put(pieces: list[str | Mark], *events: Event) -> None:
        for event in (*(_event(piece, pages) for piece in pieces), *events):
            await emit(event)

    return take


def cited(text: str, pages: ShownPages) -> list[Event]:
    """A whole answer as events."""
    return [_event(piece, lambda: pages) for piece in split(text)]


def linked(text: str, pages: ShownPages) -> str:
    """A whole answer with its citations as Markdown links."""
    pieces = (_event(piece, lambda: pages) for piece in split(text))
    return "".join(as_link(piece) if isinstance(piece, Cited) else piece.delta for piece in pieces)


def as_link(citation: Cited) -> str:
    """The citation in Markdown: the host, linked to the page; a page without a web address is only named."""
    if citation.unverified:
        return f"{citation.delta} (unverified)"
    if citation.url.startswith(("http://", "https://")):
        return f" ([{_named(citation)}]({quote(citation.url, safe=_SAFE)}))"
    return f" ({_named(citation)})"


def _named(citation: Cited) -> str:
    """The place that the citation leads to, in Markdown."""
    return _MARKDOWN.sub(r"\\\1", place(citation))


def place(citation: Cited) -> str:
    """The place that the citation leads to: the host in ASCII, or the title of a document on this machine."""
    return domain(citation.url) or citation.title or citation.url


# The signs of an address that cannot end a link.
_SAFE = ":/?#@!$&'*+,;=%~-._"


def _event(piece: str | Mark, pages: Callable[[], ShownPages]) -> OutputDelta:
    if isinstance(piece, str):
        return OutputDelta(piece)
    match pages().resolve(piece):
        case Citation(title=title, url=url, quote=quoted):
            return Cited(piece.text, piece.first, piece.last, url, title, quoted)
        case unverified:
            return Cited(piece.text, piece.first, piece.last, unverified=unverified.reason)
