"""Brave Search (https://brave.com/search/api), by key."""

from __future__ import annotations

from ..backend import Hit
from .service import Service, at, hits

_MOST = 20  # hits of one request


class Brave(Service):
    """GET /res/v1/web/search, without the markup of matches."""

    name = "Brave"
    variable = "BRAVE_API_KEY"
    base = "https://api.search.brave.com"

    async def _search(self, query: str, topn: int) -> list[Hit]:
        wanted = {"q": query[:400], "count": str(min(topn, _MOST)), "text_decorations": "false"}
        found = await self.get("/res/v1/web/search", wanted, {"X-Subscription-Token": self._key})
        return hits(at(found, "web", "results"), lambda item: item.get("description"))
