"""Exa (https://exa.ai), by key."""

from __future__ import annotations

from ..backend import Hit
from .service import Service, at, hits


class Exa(Service):
    """POST /search, with the beginning of each page as its snippet."""

    name = "Exa"
    variable = "EXA_API_KEY"
    base = "https://api.exa.ai"

    async def _search(self, query: str, topn: int) -> list[Hit]:
        wanted = {"query": query, "numResults": topn, "contents": {"text": {"maxCharacters": 400}}}
        found = await self.post("/search", wanted, {"x-api-key": self._key})
        return hits(at(found, "results"), lambda item: item.get("text"))
