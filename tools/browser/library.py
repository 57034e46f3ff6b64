"""Several collections of documents as one back end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain, zip_longest
from urllib.parse import urlsplit

from .backend import BackendError, Document, Hit
from .folder import Folder
from .zim import Zim


class Library:
    """Collections, such as a folder and a ZIM file. The schemes of their addresses differ."""

    def __init__(self, *collections: Folder | Zim) -> None:
        self._collections = collections
        self.schemes = tuple(scheme for one in collections for scheme in one.schemes)

    async def search(self, query: str, topn: int) -> Sequence[Hit]:
        """The best hits of each collection in turn. A failing one is left out while another has hits."""
        searches = (one.search(query, topn) for one in self._collections)
        found = await asyncio.gather(*searches, return_exceptions=True)
        hits = [one for one in found if not isinstance(one, BaseException)]
        errors = [one for one in found if isinstance(one, BaseException)]
        if errors and not any(hits):
            raise errors[0]
        return [hit for hit in chain(*zip_longest(*hits)) if hit is not None][:topn]

    async def fetch(self, url: str) -> Document:
        """The document at an address of one of the collections; see `Fetch`."""
        for one in self._collections:
            if urlsplit(url).scheme in one.schemes:
                return await one.fetch(url)
        raise BackendError("Only the documents of this machine can be opened.")

    async def close(self) -> None:
        """Close all of them."""
        await asyncio.gather(*(one.close() for one in self._collections))
