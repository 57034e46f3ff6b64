"""The app's side of one MCP server: calls are sent to a host process, which speaks the protocol."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

from gptoss_tui.workers.calls import Calls
from gptoss_tui.workers.child import Child, ChildError
from gptoss_tui.workers.wire import Wire

from ..names import carried
from ..source import OpenedSource, Source, SourceError
from ..tool import Output, Reach, Risk, Tool
from .server_config import ServerConfig

HOST_LIMIT = 30.0  # seconds for the start of the host, in addition to the server's own
CHECK_LIMIT = 10.0  # seconds
TIME_LIMIT = 120.0  # seconds
CLOSE_LIMIT = 1.2  # seconds

MOST_RESTARTS = 3
"""The number of times that a server that ended is started again."""

BACK_OFF = 0.5
"""Seconds from a start to the first restart, at least; the time doubles with each further one."""

_LONGEST_REPLY = 16 << 20


class Down(Exception):
    """The server does not answer any more; the message is for the model and the person."""


class Server(Source):
    """The server called `name`; `configured` reads its entry, and raises if it cannot be used.

    Opening starts the server. If it ends later, the next call of a tool starts it again, at most three times;
    the call during which it ended is not repeated, for it may have had its effect.
    """

    def __init__(self, name: str, configured: Callable[[], ServerConfig], logs: Path) -> None:
        self.name = name
        self.origin = f"MCP server {name}"
        self.where = ""
        self.log = logs / f"mcp-{re.sub(r'[^A-Za-z0-9_-]', '_', name)[:64]}.log"
        self._configured = configured
        self._host: Child | None = None
        self._calls: Calls | None = None
        self._starting = asyncio.Lock()
        self._restarts = 0
        self._started = 0.0
        self._trouble: Down | None = None
        self._defined: dict[str, dict[str, Any]] = {}

    async def open(self) -> OpenedSource:
        """Start the server and list its tools."""
        if not _has_library():
            raise SourceError(f"{self.origin} needs another package: pip install 'gptoss-chat[mcp]'.")
        self._restarts = 0
        try:
            found = await self._start()
        except Down as error:
            raise SourceError(str(error)) from error
        self._defined = {tool["name"]: tool for tool in found["tools"]}
        names = carried(self.name, self._defined)
        tools = [ServerTool(self, names[name], tool) for name, tool in self._defined.items()]
        return OpenedSource(tools, [f"{self.origin} {refusal}" for refusal in found["refused"]])

    async def close(self) -> None:
        """Let the server end by itself, and kill it if it does not."""
        host, self._host, self._calls = self._host, None, None
        if host is None:
            return
        host.close_input()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(host.wait(), CLOSE_LIMIT)
        finally:
            await host.end()

    async def ready(self) -> None:
        """Start the server again if it has ended; raises Down."""
        async with self._starting:
            if self._host is not None and self._host.is_alive:
                return
            if self._restarts >= MOST_RESTARTS:
                raise Down(f"{self.origin} ended {self._restarts + 1} times; a new chat starts it again.")
            wait = self._started + BACK_OFF * 2**self._restarts - monotonic()
            if self._trouble is not None and wait > 0:
                raise self._trouble
            await asyncio.sleep(wait)
            self._restarts += 1
            found = await self._start()
            now = {tool["name"]: tool for tool in found["tools"]}
            # A call that the person agreed to must not become a call of another tool.
            self._defined = {name: tool for name, tool in self._defined.items() if now.get(name) == tool}

    def has(self, tool: str) -> bool:
        """Whether the running server still describes the tool as it did first."""
        return tool in self._defined

    async def ask(self, request: dict[str, Any], limit: float) -> dict[str, Any]:
        """Send a request and wait for its reply; a request that is not waited for any more is cancelled.

        Several requests may be open at once. Raises Down.
        """
        host, calls = self._host, self._calls
        if host is None or calls is None:
            raise Down(f"{self.origin} is not running.")
        try:
            call = calls.call(request)
            try:
                async with asyncio.timeout(limit):
                    reply: dict[str, Any] = await call.answer()
                    return reply
            except (TimeoutError, asyncio.CancelledError):
                call.send({})
                raise
            finally:
                call.leave()
        except ChildError as error:
            await self._forget(host)
            raise Down(f"{self.origin} ended while it was asked; the request is not sent again.") from error

    async def stop(self) -> None:
        """End the host, which does not answer."""
        if self._host is not None:
            await self._forget(self._host)

    async def _start(self) -> dict[str, Any]:
        """Start the host, which starts the server; returns the server's tools. Raises Down."""
        try:
            config = self._configured()
        except Exception as error:
            raise Down(f"{self.origin} cannot be started: {error}.") from error
        self.where = config.where
        self._started = monotonic()
        try:
            host = Child.start("its host", f"{__package__}.host", log=self.log, longest=_LONGEST_REPLY)
        except ChildError as error:
            raise Down(f"{self.origin} cannot be started: {error}.") from error
        self._host, self._calls = host, Calls(host, Wire())
        try:
            async with asyncio.timeout(config.start_limit + HOST_LIMIT):
                found: dict[str, Any] = await self._calls.ask(asdict(config))
        except TimeoutError:
            found = {"error": "did not start in time"}
        except ChildError:
            found = {"error": "ended when it was started"}
        except BaseException:
            await self._forget(host)
            raise
        if "error" in found:
            await self._forget(host)
            self._trouble = Down(f"{self.origin} {found['error']} (its log: {self.log}).")
            raise self._trouble
        self._trouble = None
        return found

    async def _forget(self, host: Child) -> None:
        """End the host, and with it the server."""
        if self._host is host:
            self._host = self._calls = None
        await host.end()


class ServerTool(Tool):
    """One tool of a server, under a name that harmony can carry.

    The server's own claims, that the tool only reads for instance, count for nothing: its reach is outside.
    """

    def __init__(self, server: Server, name: str, tool: dict[str, Any]) -> None:
        self.name = f"functions.{name}"
        self.description = tool["description"]
        self.parameters = tool["parameters"]
        self.origin = server.origin
        self.where = server.where
        self._server = server
        self._tool = tool["name"]

    def risk(self, arguments: str) -> Risk:
        """Outside, for the effects of a call are unknown here; see `Tool.risk`."""
        return Risk(Reach.OUTSIDE, f"{self.origin} carries it out, and what that does is not known here.")

    async def start(self) -> None:
        """Start the server again if it has ended; a failure is reported by the next call."""
        with contextlib.suppress(Down):
            await self._server.ready()

    async def objection(self, arguments: str) -> str | None:
        """The fields that do not fit the server's schema, by name: see `Tool.objection`."""
        try:
            await self._server.ready()
            if not self._server.has(self._tool):
                changed = f"{self.origin} was started again and now describes {self._tool} differently"
                return f"[ERROR] {changed}. A new chat takes that up."
            request = {"tool": self._tool, "arguments": arguments, "check": True}
            return (await self._server.ask(request, CHECK_LIMIT))["text"] or None
        except TimeoutError:
            await self._server.stop()
            return f"[ERROR] {self.origin}: the arguments took more than {CHECK_LIMIT:g} s to check."
        except Down as error:
            return f"[ERROR] {error}"

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """Check the arguments and have the server carry out the call; see `Tool.call`."""
        if objection := await self.objection(arguments):
            yield Output(objection, is_error=True)
            return
        request = {"tool": self._tool, "arguments": arguments, "check": False}
        try:
            reply = await self._server.ask(request, TIME_LIMIT)
        except TimeoutError:
            yield Output(f"[ERROR] {self._tool} timed out after {TIME_LIMIT:g} s.", is_error=True)
        except Down as error:
            yield Output(f"[ERROR] {error} It may have had an effect.", is_error=True)
        else:
            yield Output(reply["text"], is_error=reply["is_error"])

    async def close(self) -> None:
        """Leave the server, which its source closes."""


def _has_library() -> bool:
    """Whether the SDK is installed, in a version after its names changed."""
    try:
        return int(importlib.metadata.version("mcp").split(".")[0]) >= 2
    except importlib.metadata.PackageNotFoundError:
        return False
