"""DuckDuckGo, which has no interface for programs: the package ddgs reads its pages for people.

ddgs connects with a client of its own, in a thread, so neither the address policy nor our headers apply: it
connects to html.duckduckgo.com, and passes for a browser.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..backend import BackendError, Hit
from ..daemon import in_daemon_thread
from ..network.sockets import addresses_of
from .service import BACK_OFF, UnavailableError, twice

_HOST = "html.duckduckgo.com"
_PATIENCE = 8  # seconds


class DuckDuckGo:
    """Searches without a key; DuckDuckGo limits their rate silently."""

    name = "DuckDuckGo"

    def __init__(self, *, back_off: float = BACK_OFF) -> None:
        self._back_off = back_off

    async def search(self, query: str, topn: int) -> Sequence[Hit]:
        """See `Search`."""
        await addresses_of(_HOST, 443)  # without a network ddgs would fail only after a long time

        async def attempt() -> list[Hit]:
            return await in_daemon_thread(_search, query, topn)

        return await twice(attempt, self._back_off)

    async def close(self) -> None:
        """Do nothing: no resource outlives a search."""


def _search(query: str, topn: int) -> list[Hit]:
    from ddgs import DDGS
    from ddgs.exceptions import DDGSException, RatelimitException, TimeoutException

    try:
        found = DDGS(timeout=_PATIENCE).text(query, max_results=topn, backend="duckduckgo")
    except RatelimitException as error:
        raise UnavailableError("DuckDuckGo was asked too often. Try again later.") from error
    except TimeoutException as error:
        raise UnavailableError(f"DuckDuckGo does not answer within {_PATIENCE} s.") from error
    except DDGSException as error:
        if "No results" in str(error):
            what = "DuckDuckGo gave no results, as it also does when it is asked too often."
            raise BackendError(f"{what} Try other words, or later.") from error
        raise UnavailableError("DuckDuckGo cannot be reached.") from error
    return [Hit(item.get("href", ""), item.get("title", ""), item.get("body", "")) for item in found]
