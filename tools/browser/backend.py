"""The back ends of the browser: one that searches, and one that fetches.

A back end may do both (a folder of documents, a ZIM file) or one of the two (a search service; the network).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search, in plain text without markup."""

    url: str
    title: str
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """The document at `url`, undecoded.

    `url` is its final address, after redirects. `content_type` is the media type without parameters
    ("text/html"; empty if unknown), `charset` the one that was declared with it. `truncated` is true if
    `body` was cut at the fetcher's limit.
    """

    url: str
    content_type: str
    charset: str | None
    body: bytes
    truncated: bool = False


class BackendError(Exception):
    """A search or a fetch failed. The message is one sentence for the model and the person, without a key."""


class Search(Protocol):
    """Finds documents by a question in words."""

    async def search(self, query: str, topn: int) -> Sequence[Hit]:
        """At most `topn` hits, best first; an empty result is no error. Raises BackendError."""

    async def close(self) -> None:
        """Give back connections and files. The back end may be used again afterwards."""


class Fetch(Protocol):
    """Gets the document at an address. It alone judges the address (scheme, network).

    `schemes` are those of the addresses that it can fetch.
    """

    @property
    def schemes(self) -> Sequence[str]: ...

    async def fetch(self, url: str) -> Document:
        """The document at `url`, whatever its type. Raises BackendError."""

    async def close(self) -> None:
        """Give back connections and files. The back end may be used again afterwards."""
