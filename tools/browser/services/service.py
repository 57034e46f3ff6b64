"""The common part of search services: JSON over HTTP, perhaps a key, and a second try after a failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from html import unescape
from typing import Any, TypeVar

from httpx2 import URL

from ..backend import BackendError, Hit
from ..network.client import Answer, Client
from ..network.policy import Policy

TIME_LIMIT = 15.0  # seconds for one attempt
BACK_OFF = 1.0
"""Seconds before the second attempt."""

_LARGEST = 2_000_000  # bytes
_BUSY = (429, 500, 502, 503, 504)

T = TypeVar("T")


class UnavailableError(BackendError):
    """The service may answer a second request."""


async def twice(attempt: Callable[[], Awaitable[T]], back_off: float) -> T:
    """The result of `attempt`, which is tried again once if the service was unavailable."""
    try:
        return await attempt()
    except UnavailableError:
        await asyncio.sleep(back_off)
        return await attempt()


class Service:
    """A service that answers with JSON. The messages of its errors contain no part of request or answer."""

    name = ""
    variable = ""
    """The environment variable of its key; empty if it needs none."""

    base = ""

    def __init__(
        self, key: str = "", *, base: str = "", client: Client | None = None, back_off: float = BACK_OFF
    ) -> None:
        """Raises ValueError for a `key` that cannot be valid."""
        if not key.isascii() or any(not character.isprintable() or character == " " for character in key):
            raise ValueError
        self._key = key
        self._base = (base or self.base).rstrip("/")
        self._client = client or Client(Policy())
        self._back_off = back_off

    async def search(self, query: str, topn: int) -> Sequence[Hit]:
        """See `Search`."""
        return (await twice(lambda: self._search(query, topn), self._back_off))[:topn]

    async def close(self) -> None:
        """Do nothing: no resource outlives a search."""

    async def _search(self, query: str, topn: int) -> list[Hit]:
        raise NotImplementedError

    async def get(self, path: str, parameters: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        """The JSON at `path` with `parameters`; raises BackendError."""
        url = URL(self._base + path).copy_merge_params(parameters)
        return await self._ask("GET", url, headers, None)

    async def post(self, path: str, content: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        """The JSON answer of `path` to `content`; raises BackendError."""
        sent = {**headers, "Content-Type": "application/json"}
        return await self._ask("POST", URL(self._base + path), sent, json.dumps(content).encode())

    async def _ask(self, method: str, url: URL, headers: Mapping[str, str], content: bytes | None) -> Any:
        sent = {"Accept": "application/json", **headers}
        try:
            async with asyncio.timeout(TIME_LIMIT):
                answer = await self._client.exchange(method, url, sent, content, most=_LARGEST)
        except TimeoutError:
            raise UnavailableError(f"{self.name} took longer than {TIME_LIMIT:g} s.") from None
        if (refusal := self.refusal(answer)) is not None:
            raise refusal
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            raise BackendError(f"{self.name} did not answer with JSON.") from None

    def refusal(self, answer: Answer) -> BackendError | None:
        """The error for a status that is no success; None for success."""
        match answer.status:
            case 200:
                return None
            case 401 | 403 if self.variable:
                return BackendError(f"{self.name} does not accept the key in {self.variable}.")
            case 402 if self.variable:
                return BackendError(f"The account of the key in {self.variable} is used up at {self.name}.")
            case 429:
                return UnavailableError(f"{self.name} was asked too often. Try again later.")
            case status if status in _BUSY:
                return UnavailableError(f"{self.name} is out of order (status {status}).")
        return BackendError(f"{self.name} refuses the search (status {answer.status}).")


def at(found: Any, *path: str) -> list[Any]:
    """The list at a path of names in a service's answer; empty if there is none."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, list) else []


def hits(items: Iterable[Any], snippet: Callable[[Mapping[str, Any]], Any]) -> list[Hit]:
    """The `items` with a `url` as hits; their titles and snippets may be written with HTML's entities."""
    return [
        Hit(item["url"], _text(item.get("title")), _text(snippet(item)))
        for item in items
        if isinstance(item, dict) and isinstance(item.get("url"), str)
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = " ".join(part for part in value if isinstance(part, str))
    return unescape(value) if isinstance(value, str) else ""
