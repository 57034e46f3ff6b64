"""One request and its answer; nothing outlives them, and there are no cookies, credentials or proxies."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpcore2
from httpx2 import URL

from ..backend import BackendError
from . import compression
from .policy import Policy
from .sockets import Resolve, Sockets, resolve

_PATIENCE = {"connect": 5.0, "read": 10.0, "write": 10.0, "pool": 5.0}  # seconds for each operation
_AGENT = "Mozilla/5.0 (compatible; gptoss-chat)"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer: `headers` in lower case, `body` decompressed, and cut at a limit if `truncated`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool


def port_of(url: URL) -> int:
    """The port of an http or https address."""
    return url.port if url.port is not None else _DEFAULT_PORTS.get(url.scheme, 0)


class Client:
    """HTTP/1.1 and HTTP/2 over sockets that ask the policy. The caller handles redirects and deadlines."""

    def __init__(
        self, policy: Policy, *, tls: ssl.SSLContext | None = None, resolve: Resolve = resolve
    ) -> None:
        """`tls` judges certificates; the default is the system's judgement."""
        self._sockets = Sockets(policy, resolve)
        self._tls = tls

    async def exchange(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        content: bytes | None = None,
        *,
        most: int,
    ) -> Answer:
        """Send one request, and read at most `most` bytes of the answer. Raises BackendError."""
        try:
            return await self._exchange(method, url, headers, content, most)
        except compression.EncodingError as error:
            raise BackendError(str(error)) from error
        except (
            httpcore2.NetworkError,
            httpcore2.TimeoutException,
            httpcore2.ProtocolError,
            ssl.SSLError,
            OSError,
        ) as error:
            raise BackendError(_reason(error, url.raw_host.decode("ascii", "replace"))) from error

    async def _exchange(
        self, method: str, url: URL, headers: Mapping[str, str], content: bytes | None, most: int
    ) -> Answer:
        if self._tls is None and url.scheme == "https":
            self._tls = await asyncio.to_thread(httpcore2.default_ssl_context)
        sent = {"Host": url.netloc.decode("ascii"), "User-Agent": _AGENT} | dict(headers)
        sent["Accept-Encoding"] = compression.ACCEPTED
        if content is not None:
            sent["Content-Length"] = str(len(content))
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        async with (
            # A new pool for each request, so that no connection, and no state of one, is used again.
            httpcore2.AsyncConnectionPool(
                ssl_context=self._tls, network_backend=self._sockets, http2=True, max_keepalive_connections=0
            ) as pool,
            pool.stream(
                method,
                target,
                headers=list(sent.items()),
                content=content,
                extensions={"timeout": _PATIENCE},
            ) as response,
        ):
            received = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
            }
            stream = response.aiter_stream()
            body, truncated = await compression.read(stream, received.get("content-encoding", ""), most)
            return Answer(response.status, received, body, truncated)


def _reason(error: Exception, host: str) -> str:
    match _tls_error(error), error:
        case ssl.SSLCertVerificationError(verify_message=why), _:
            return f"The certificate of {host} is not valid: {why.rstrip('.')}. Nothing was read."
        case ssl.SSLError(reason=why), _:
            return f"No secure connection to {host} came about ({why or 'it was broken off'})."
        case _, httpcore2.ConnectTimeout():
            return f"{host} does not answer."
        case _, httpcore2.TimeoutException():
            return f"{host} stopped answering."
        case _, httpcore2.ConnectError():
            return f"{host} cannot be reached."
        case _, httpcore2.ProtocolError():
            return f"What {host} answers is no proper HTTP, or its headers are too long."
    return f"The connection to {host} broke off."


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS failure that led to `error`, if there was one."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
