"""The process beside one MCP server that speaks the protocol with it: `python -m gptoss_tui.tools.mcp.host`.

A process of its own, so that neither the SDK (a second to import) nor what a server sends (floods, lines
without end) is the screen's trouble. It leads a session that has no terminal; the server is started inside
of it, and both end together. It speaks JSON lines on what were its standard streams: first the configuration
comes in, and what the server has goes out, `{"tools", "refused"}` or `{"error"}`. Then each `{"id", "tool",
"arguments", "check"}` is answered by `{"id", "text", "is_error"}`; `{"cancel": id}` gives one up. It ends
when its input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import threading
from contextlib import AsyncExitStack
from typing import Any, TextIO

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, Implementation

from ..arguments import ArgumentsError, json_object
from ..lines import say, take_streams
from .complaints import Complaints
from .listing import Listed, list_tools
from .result import as_text
from .sieve import Sieve
from .stdio import Program
from .validate import check

MOST_MEMORY = 4 << 30
"""Bytes of address space for this process, once the server runs: what is sent to it must fit in there."""

LAST_WORDS_S = 0.8
"""How long a server has to end in order after its input ended."""

_SESSION_GONE = 404
"""What a server over HTTP says that has been started again since."""

_Request = dict[str, Any]


class Host:
    """One server, from its start to the end of the app's requests."""

    def __init__(self, config: _Request, replies: TextIO) -> None:
        self._config = config
        self._replies = replies
        self._complaints = Complaints()
        self._program = Program(config, self._complaints) if config["command"] else None
        self._status: int | None = None
        self._sieve = Sieve(lambda: self._version)
        self._version = ""
        self._tools: dict[str, Listed] = {}
        self._running: dict[int, asyncio.Task[None]] = {}

    async def serve(self, requests: TextIO) -> None:
        """Start the server, say what it has, answer requests."""
        loop = asyncio.get_running_loop()
        inbox = _listen(requests, loop)
        late = loop.call_later(self._config["start_limit"], self._too_late)
        async with AsyncExitStack() as stack:
            try:
                client = await stack.enter_async_context(self._client())
                # Not before: a program that was started inherits it.
                resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
                self._version = client.protocol_version
                self._tools, refused = await list_tools(client, self._sieve)
            except BaseException as error:
                await self._fail(error)
            late.cancel()
            tools = [listed.told for listed in self._tools.values()]
            say(self._replies, {"tools": tools, "refused": refused})
            watch = asyncio.create_task(self._watch())
            while (request := await inbox.get()) is not None:
                self._obey(request, client)
            watch.cancel()

    async def _watch(self) -> None:
        """End when the program does, so that the app finds out before it sends the next call."""
        if self._program is not None:
            await self._program.ended.wait()
            await asyncio.sleep(0.2)  # its last answer may be on the way
            end()

    def _client(self) -> Client:
        """Without callbacks for sampling and elicitation: what a server asks of the person is refused."""
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
        """Note a refusal, of which the SDK says nothing."""
        self._status = response.status_code if response.is_error else None

    def _obey(self, request: _Request, client: Client) -> None:
        if "cancel" in request:
            if task := self._running.get(request["cancel"]):
                task.cancel()
            return
        task = asyncio.create_task(self._answer(request, client))
        self._running[request["id"]] = task
        task.add_done_callback(lambda _: self._running.pop(request["id"], None))

    async def _answer(self, request: _Request, client: Client) -> None:
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
        say(self._replies, {"id": request["id"], "text": text, "is_error": is_error})

    def _too_late(self) -> None:
        why = f"did not say within {self._config['start_limit']:g} s what it has"
        if self._program is not None and self._program.wrote_rubbish:
            why += "; what it writes on stdout is no message of the protocol"
        if self._complaints.last:
            why += f"; its last words: {self._complaints.last}"
        try:
            say(self._replies, {"error": why})
        finally:
            end()

    async def _fail(self, error: BaseException) -> None:
        """Say why there is nothing to serve, and end."""
        self._complaints.say(f"{type(error).__name__}: {error}")
        fate = await self._program.fate() if self._program is not None else ""
        if self._status is not None:
            fate = f"answered with HTTP status {self._status}"
        if isinstance(error, OSError) and error.filename:
            fate = f"cannot be started: {error.strerror}: {error.filename!r}"
        say(self._replies, {"error": fate or f"cannot be used: {_leaf(error)}"})
        end()


def _listen(requests: TextIO, loop: asyncio.AbstractEventLoop) -> asyncio.Queue[_Request | None]:
    """The app's requests, and None at their end; read by a thread, as their end counts whatever goes on."""
    inbox: asyncio.Queue[_Request | None] = asyncio.Queue()

    def listen() -> None:
        for line in requests:
            loop.call_soon_threadsafe(inbox.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(inbox.put_nowait, None)
        threading.Event().wait(LAST_WORDS_S)
        end()

    threading.Thread(target=listen, daemon=True).start()
    return inbox


def _leaf(error: BaseException) -> str:
    """The first of the errors that a group holds, with its class."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    first = (str(error).splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def end() -> None:
    """End this process and the server it has started, at once."""
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    requests, replies = take_streams()
    config = json.loads(requests.readline())
    asyncio.run(Host(config, replies).serve(requests))
    end()


if __name__ == "__main__":
    main()
