"""What the browser needs of the outside: something that searches, and something that fetches.

A back end may be both (a folder of documents, a ZIM file) or one of them (a search service; the network).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search, as the back end gives it: plain text, no markup."""

    url: str
    title: str
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """What stands at `url`, undecoded.

    `url` is where it was found in the end, after redirects. `content_type` is the media type without its
    parameters ("text/html"; empty when none was named), `charset` the one that was named beside it.
    `truncated` tells that `body` is a beginning, cut at the fetcher's limit.
    """

    url: str
    content_type: str
    charset: str | None
    body: bytes
    truncated: bool = False


class BackendError(Exception):
    """A search or a fetch failed. One sentence for the model and the person; never a key, never a trace."""


class Search(Protocol):
    """Finds documents by a question in words."""

    async def search(self, query: str, topn: int) -> Sequence[Hit]:
        """At most `topn` hits, best first; none is no error. Raises BackendError."""

    async def close(self) -> None:
        """Give back connections and files. The back end may be used again afterwards."""


class Fetch(Protocol):
    """Gets the document at an address. Judging the address (scheme, network) is its business alone.

    `schemes` are those of the addresses it knows; of any other it need not be asked.
    """

    @property
    def schemes(self) -> Sequence[str]: ...

    async def fetch(self, url: str) -> Document:
        """The document at `url`, whatever its type. Raises BackendError."""

    async def close(self) -> None:
        """Give back connections and files. The back end may be used again afterwards."""
