"""The real sandbox, real kernels, real servers on loopback, and a way to run a call to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from gptoss_tui.tools import Tool
from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.sandbox import Confinement, Kind, probe

# Set by contributors whose machine forbids namespaces. Without it a sandbox that does not hold is a failure.
NO_SANDBOX = "GPTOSS_TESTS_WITHOUT_SANDBOX"


@dataclass(frozen=True)
class Answer:
    """A whole call: what the model is told, and whether it was told of a failure."""

    text: str
    is_error: bool


Run = Callable[[Tool, str], Awaitable[Answer]]


async def _run(tool: Tool, arguments: str) -> Answer:
    outputs = [output async for output in tool.call(arguments)]
    return Answer("".join(output.text for output in outputs), any(output.is_error for output in outputs))


@pytest.fixture(scope="session")
def run() -> Run:
    """`await run(tool, arguments)`: the call's whole answer."""
    return _run


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    return _alive


async def _holding(kind: Kind) -> Confinement:
    found = await probe(kinds=[kind])
    if not found.works and os.environ.get(NO_SANDBOX):
        pytest.skip(found.reason)
    assert found.works, f"{found.reason} (set {NO_SANDBOX}=1 to leave these tests out)"
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def confinement() -> Confinement:
    """The strongest sandbox, which must hold."""
    return await _holding("bubblewrap")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["bubblewrap", "landlock"])
async def rung(request: pytest.FixtureRequest) -> Confinement:
    """Each sandbox in turn, which must hold."""
    return await _holding(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def confined(rung: Confinement, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PythonTool]:
    """A Python in each sandbox in turn, shared by the tests of a module."""
    folder = tmp_path_factory.mktemp(rung.kind)
    folder.chmod(0o755)  # pytest closes its folders to whom the sandbox runs as
    tool = PythonTool(folder / "files", confinement=rung, log=folder / "kernel.log")
    await tool.start()
    yield tool
    await tool.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def python(
    confinement: Confinement, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PythonTool]:
    """One confined Python that the tests of a module share; `files` is its workspace."""
    folder = tmp_path_factory.mktemp("python")
    tool = PythonTool(folder / "files", confinement=confinement, log=folder / "kernel.log")
    await tool.start()
    yield tool
    await tool.close()


@pytest.fixture(scope="module")
def files(python: PythonTool) -> Path:
    """The shared Python's workspace, on this side of the sandbox."""
    return python.workspace


@dataclass(frozen=True)
class Request:
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
    requests: list[Request] = field(default_factory=list)

    def __call__(self, path: str = "/", scheme: str = "http", host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"{scheme}://{host}:{self.port}{path}"


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[..., Awaitable[Server]]


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


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
