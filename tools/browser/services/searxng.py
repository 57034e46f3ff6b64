"""SearXNG (https://docs.searxng.org), an instance that the person names.

It may be on this machine or in a private network: its address is allowed for searches only, never for
opening pages.
"""

from __future__ import annotations

from httpx2 import URL, InvalidURL

from ..backend import BackendError, Hit
from ..network.client import Answer, Client, port_of
from ..network.policy import Policy, parse_host
from .service import BACK_OFF, Service, at, hits


class SearXNG(Service):
    """GET /search?format=json below `address`. Raises ValueError if that is no web address."""

    name = "SearXNG"

    def __init__(self, address: str, *, back_off: float = BACK_OFF) -> None:
        try:
            url = URL(address)
        except InvalidURL:
            raise ValueError from None
        if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
            raise ValueError
        host = f"[{url.host}]" if ":" in url.host else url.raw_host.decode("ascii")
        policy = Policy(frozenset({parse_host(f"{host}:{port_of(url)}")}))
        super().__init__(base=str(url), client=Client(policy), back_off=back_off)

    async def _search(self, query: str, topn: int) -> list[Hit]:
        found = await self.get("/search", {"q": query, "format": "json"}, {})
        return hits(at(found, "results"), lambda item: item.get("content"))

    def refusal(self, answer: Answer) -> BackendError | None:
        """See `Service.refusal`."""
        if answer.status == 403:
            return BackendError("This SearXNG gives no JSON: add json to search.formats in its settings.yml.")
        return super().refusal(answer)
