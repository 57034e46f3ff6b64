"""A Kiwix ZIM file as a back end: an encyclopaedia without a network, at zim://name/path.

It needs libzim (`pip install 'gptoss-chat[zim]'`), which is under the GPL and therefore an optional extra.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ...kinds import address
from . import hops
from .backend import BackendError, Document, Hit

LARGEST = 5_000_000  # bytes


class Zim:
    """The articles of the ZIM file at `path`. It is opened by the first call."""

    schemes = ("zim",)

    def __init__(self, path: Path) -> None:
        self.path = path
        # The host of its addresses: the name without characters that a host cannot have.
        self.name = "".join(c if c.isascii() and c.isalnum() else "-" for c in path.stem.lower())
        self._archive: Any = None
        self._turn = asyncio.Lock()

    async def search(self, query: str, topn: int) -> Sequence[Hit]:
        """Articles by full text, or by title where the file has no full-text index; see `Search`."""
        async with self._turn:
            return await asyncio.to_thread(self._hits, query, topn)

    async def fetch(self, url: str) -> Document:
        """The article at a zim:// address of this file; see `Fetch`."""
        async with self._turn:
            document = await asyncio.to_thread(self._document, url)
        if address.read(document.url) != address.read(url):
            hops.check(document.url, url)
        return document

    async def close(self) -> None:
        """Close the file."""
        self._archive = None

    def _open(self) -> Any:
        if self._archive is None:
            try:
                from libzim.reader import Archive
            except ImportError:
                raise BackendError("ZIM files need libzim: pip install 'gptoss-chat[zim]'.") from None
            try:
                self._archive = Archive(self.path)
            except RuntimeError as error:
                raise BackendError(f"{self.path.name} cannot be opened as a ZIM file.") from error
        return self._archive

    def _hits(self, query: str, topn: int) -> list[Hit]:
        archive = self._open()
        from libzim.search import Query, Searcher
        from libzim.suggestion import SuggestionSearcher

        try:
            if archive.has_fulltext_index:
                found = Searcher(archive).search(Query().set_query(query)).getResults(0, topn)
            else:
                found = SuggestionSearcher(archive).suggest(query).getResults(0, topn)
            return [Hit(self._url(path), archive.get_entry_by_path(path).title) for path in found]
        except (RuntimeError, KeyError) as error:
            raise BackendError(f"{self.path.name} cannot be searched.") from error

    def _document(self, url: str) -> Document:
        parts = urlsplit(url)
        if parts.scheme != "zim" or parts.netloc != self.name:
            raise BackendError(f"Only the articles of {self.path.name} can be opened, at zim:// addresses.")
        archive = self._open()
        path = unquote(parts.path).removeprefix("/")
        if parts.query:
            path += f"?{unquote(parts.query)}"
        try:
            entry = archive.get_entry_by_path(path) if path else archive.main_entry
            item = entry.get_item()  # follows redirects
            body = bytes(item.content[:LARGEST])
        except (RuntimeError, KeyError) as error:
            raise BackendError("There is no such article in the ZIM file.") from error
        kind, _, charset = item.mimetype.partition(";")
        named = charset.partition("charset=")[2].strip() or None
        return Document(self._url(item.path), kind.strip(), named, body, truncated=item.size > LARGEST)

    def _url(self, path: str) -> str:
        return f"zim://{self.name}/{quote(path)}"
