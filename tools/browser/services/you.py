"""You.com (https://you.com), by key."""

from __future__ import annotations

from ..backend import Hit
from .service import Service, at, hits


class You(Service):
    """GET /v1/search: the web, then the news."""

    name = "You.com"
    variable = "YDC_API_KEY"
    base = "https://api.ydc-index.io"

    async def _search(self, query: str, topn: int) -> list[Hit]:
        wanted = {"query": query, "count": str(topn)}
        found = await self.get("/v1/search", wanted, {"X-API-Key": self._key})
        items = at(found, "results", "web") + at(found, "results", "news")
        return hits(items, lambda item: item.get("snippets") or item.get("description"))
