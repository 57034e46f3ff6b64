"""The process beside one MCP server that speaks the protocol with it: `python -m gptoss_tui.tools.mcp.host`.

It is a process of its own, so that neither the SDK (a second to import) nor a server's output (floods,
endless lines) affects the screen. It leads a session that has no terminal; the server is started inside that,
and both end together. The first call is the configuration, and is answered with the server's tools,
`{"tools", "refused"}`, or with `{"error"}`. Then each `{"tool", "arguments", "check"}` is answered by
`{"text", "is_error"}`; an empty message cancels the call of its number. The process ends when its input does.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, Implementation

from gptoss_tui.workers.parent import Parent
from gptoss_tui.workers.wire import Wire

from ..arguments import ArgumentsError, check, json_object
from .complaints import Complaints
from .listing import Listed, list_tools
from .result import as_text
from .sieve import Sieve
from .stdio import ServerProgram

MOST_MEMORY = 4 << 30
"""Bytes of address space for this process, once the server runs, with everything that the server sends."""

LAST_WORDS_S = 0.8
"""Seconds in which a server may end by itself after the end of its input."""

_SESSION_GONE = 404
"""The status by which a server over HTTP answers if it was restarted meanwhile."""

_Message = dict[str, Any]
_Heard = tuple[int, _Message]


class Host:
    """One server, from its start to the app's last request."""

    def __init__(self, config: _Message, answer: Callable[[int, _Message], None]) -> None:
        self._config = config
        self._answer = answer
        self._complaints = Complaints()
        self._program = ServerProgram(config, self._complaints) if config["command"] else None
        self._status: int | None = None
        self._sieve = Sieve(lambda: self._version)
        self._version = ""
        self._tools: dict[str, Listed] = {}
        self._running: dict[int, asyncio.Task[None]] = {}

    async def serve(self, first: int, heard: asyncio.Queue[_Heard | None]) -> None:
        """Start the server, answer the call `first` with its tools, then answer each call from `heard`."""
        loop = asyncio.get_running_loop()
        late = loop.call_later(self._config["start_limit"], self._too_late, first)
        async with AsyncExitStack() as stack:
            try:
                client = await stack.enter_async_context(self._client())
                # Set after the start, since the server's program would inherit the limit.
                resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
                self._version = client.protocol_version
                self._tools, refused = await list_tools(client, self._sieve)
            except BaseException as error:
                await self._fail(first, error)
            late.cancel()
            tools = [listed.told for listed in self._tools.values()]
            self._answer(first, {"tools": tools, "refused": refused})
            watch = asyncio.create_task(self._watch())
            while (call := await heard.get()) is not None:
                self._obey(*call, client)
            watch.cancel()

    async def _watch(self) -> None:
        """End with the server's program, so that the app notices before it sends the next call."""
        if self._program is not None:
            await self._program.ended.wait()
            await asyncio.sleep(0.2)  # its last answer may be on the way
            end()

    def _client(self) -> Client:
        """The client, without callbacks for sampling and elicitation: requests to the person are refused."""
        me = Implementation(name="gptoss-chat", version="1")
        if self._program is not None:
            return Client(self._sieve.before(self._program.transport()), client_info=me)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        timeout = httpx2.Timeout(30.0, read=300.0)
        http = httpx2.AsyncClient(headers=self._config["headers"], timeout=timeout)
        http.event_hooks = {"response": [self._heed]}
        transport = streamable_http_client(self._config["url"], http_client=http)
        return Client(self._sieve.before(transport), client_info=me)

    async def _heed(self, response: httpx2.Response) -> None:
        """Note the status of a refusal, which the SDK does not report."""
        self._status = response.status_code if response.is_error else None

    def _obey(self, call: int, request: _Message, client: Client) -> None:
        if not request:
            if task := self._running.get(call):
                task.cancel()
            return
        task = asyncio.create_task(self._carry_out(call, request, client))
        self._running[call] = task
        task.add_done_callback(lambda _: self._running.pop(call, None))

    async def _carry_out(self, call: int, request: _Message, client: Client) -> None:
        text, is_error = "", False
        listed = self._tools[request["tool"]]
        try:
            arguments = json_object(request["arguments"])
            check(arguments, listed.schema)
            if not request["check"]:
                text, is_error = as_text(await client.call_tool(listed.name, arguments))
        except ArgumentsError as error:
            text, is_error = f"[ERROR] {error}", True
        except MCPError as error:
            if error.code == CONNECTION_CLOSED or self._status == _SESSION_GONE:
                end()
            text, is_error = f"[ERROR] {error}", True
        except Exception as error:
            self._complaints.say(f"{type(error).__name__}: {error}")
            text, is_error = f"[ERROR] {_leaf(error)}", True
        self._answer(call, {"text": text, "is_error": is_error})

    def _too_late(self, first: int) -> None:
        """Answer that the start took too long; the app then ends this process."""
        why = f"did not say within {self._config['start_limit']:g} s what it has"
        if self._program is not None and self._program.wrote_rubbish:
            why += "; what it writes on stdout is no message of the protocol"
        if self._complaints.last:
            why += f"; its last words: {self._complaints.last}"
        self._answer(first, {"error": why})

    async def _fail(self, first: int, error: BaseException) -> None:
        """Answer with the reason why the server cannot be used, and wait for the app to end this process."""
        self._complaints.say(f"{type(error).__name__}: {error}")
        fate = await self._program.fate() if self._program is not None else ""
        if self._status is not None:
            fate = f"answered with HTTP status {self._status}"
        if isinstance(error, OSError) and error.filename:
            fate = f"cannot be started: {error.strerror}: {error.filename!r}"
        self._answer(first, {"error": fate or f"cannot be used: {_leaf(error)}"})
        await asyncio.Event().wait()


def _leaf(error: BaseException) -> str:
    """The first error in a group, with its class."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    first = (str(error).splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def end() -> None:
    """End this process and the server that it has started, at once."""
    os.killpg(0, signal.SIGKILL)


async def serve() -> None:
    """Serve the server that the first call describes, until the app ends."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[_Heard | None] = asyncio.Queue()

    def hear(call: int, message: _Message) -> None:
        loop.call_soon_threadsafe(heard.put_nowait, (call, message))

    def leave() -> None:
        loop.call_soon_threadsafe(heard.put_nowait, None)
        time.sleep(LAST_WORDS_S)
        end()

    parent = Parent(Wire(), hear, leave)
    if (started := await heard.get()) is not None:
        first, config = started
        await Host(config, parent.answer).serve(first, heard)


def main() -> None:
    asyncio.run(serve())
    end()


if __name__ == "__main__":
    main()
