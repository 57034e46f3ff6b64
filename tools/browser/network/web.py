"""The web as a back end: the documents at http and https addresses."""

from __future__ import annotations

import asyncio
import re
import ssl
from http import HTTPStatus

from httpx2 import URL

from ....kinds import address
from .. import hops
from ..backend import BackendError, Document
from .client import Answer, Client, port_of
from .policy import Policy
from .sockets import Resolve, resolve

TIME_LIMIT = 20.0
"""Seconds for one document, redirects included."""

LARGEST = 5_000_000
"""Bytes of a decompressed body."""

MOST_REDIRECTS = 5
AT_ONCE = 4

_ACCEPT = {"Accept": "text/html, application/xhtml+xml, text/plain;q=0.9, */*;q=0.5"}
_REDIRECTS = (301, 302, 303, 307, 308)
_MEDIA_TYPE = re.compile(r"\s*([^\s;,]{1,127})")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";,]{1,40})", re.IGNORECASE)


class Web:
    """Fetches documents from the web that `policy` permits. Requests share no state; see `Client`."""

    schemes = ("http", "https")

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = resolve,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._policy = policy or Policy()
        self._client = Client(self._policy, tls=tls, resolve=resolve)
        self._time_limit = time_limit
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def fetch(self, url: str) -> Document:
        """The document at `url`; see `Fetch`."""
        async with self._turns:
            try:
                async with asyncio.timeout(self._time_limit):
                    return await self._follow(self._checked(url))
            except TimeoutError:
                raise BackendError(f"It took longer than {self._time_limit:g} s.") from None

    async def close(self) -> None:
        """Do nothing: no resource outlives a call."""

    async def _follow(self, url: URL) -> Document:
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._client.exchange("GET", url, _ACCEPT, most=LARGEST)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not location:
                return _document(url, answer)
            try:
                target = self._checked(address.joined(url, location))
            except (BackendError, address.AddressError) as error:
                raise BackendError(
                    f"It redirects to {location[:200]!a}, which is refused. {error}"
                ) from error
            if url.scheme == "https" and target.scheme != "https":
                raise BackendError("It redirects from https to http, which is not safe.")
            hops.check(str(target), str(url))
            url = target
        raise BackendError(f"It redirects more than {MOST_REDIRECTS} times.")

    def _checked(self, text: str) -> URL:
        """The address, if it may be requested; raises BackendError."""
        try:
            url = address.parsed(text)
        except address.AddressError as error:
            raise BackendError(str(error)) from error
        if objection := self._policy.objection_to_port(url.raw_host.decode("ascii"), port_of(url)):
            raise BackendError(objection)
        return url


def _document(url: URL, answer: Answer) -> Document:
    if not 200 <= answer.status < 300:
        raise BackendError(f"The server answers {_status(answer.status)}.")
    content_type = answer.headers.get("content-type", "")
    kind, charset = _MEDIA_TYPE.match(content_type), _CHARSET.search(content_type)
    return Document(
        str(url),
        kind[1].lower() if kind else "",
        charset[1] if charset else None,
        answer.body,
        answer.truncated,
    )


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
