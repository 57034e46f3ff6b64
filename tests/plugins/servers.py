"""HTTP servers on loopback, whose handlers write every byte of an answer."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest_asyncio


@dataclass(frozen=True)
class Asked:
    """What a server of the tests was asked."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A server on loopback that counts its connections and keeps what it was asked."""

    port: int = 0
    connections: int = 0
    requests: list[Asked] = field(default_factory=list)

    def __call__(self, path: str = "/", scheme: str = "http", host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"{scheme}://{host}:{self.port}{path}"


Handler = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[..., Awaitable[Server]]


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Asked(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(handler, tls=None)`: a server whose handler writes the answer, byte by byte."""
    running: list[asyncio.Server] = []
    open_: list[asyncio.StreamWriter] = []

    async def start(handler: Handler, tls: ssl.SSLContext | None = None) -> Server:
        server = Server()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server.connections += 1
            open_.append(writer)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                server.requests.append(await _read(reader))
                await handler(server.requests[-1], writer)
                await writer.drain()
            writer.close()

        running.append(await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls))
        server.port = running[-1].sockets[0].getsockname()[1]
        return server

    yield start
    for writer in open_:
        writer.transport.abort()
    for one in running:
        one.close()
