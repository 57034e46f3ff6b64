"""A server's program: started here, and read with bounds that the SDK's own transport lacks."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCMessage, jsonrpc_message_adapter

from .complaints import Complaints

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

LONGEST_LINE = 8 << 20
"""Bytes of one message; after a longer one nothing more is read."""

_CHUNK = 1 << 16
_LAST_WORDS_S = 0.5


class ServerProgram:
    """The program of a server, and its fate."""

    def __init__(self, config: dict[str, Any], complaints: Complaints) -> None:
        self._config = config
        self._complaints = complaints
        self._process: Process | None = None
        self._fault = ""
        self.wrote_rubbish = False
        self.ended = asyncio.Event()
        """Set once the program's output has ended."""

    @asynccontextmanager
    async def transport(self) -> AsyncGenerator[TransportStreams, None]:
        """Start the program, and carry messages between its standard streams and the SDK.

        At the end its input is closed and it is left running: this process ends it by ending its own session.
        """
        self._process = process = await asyncio.create_subprocess_exec(
            *self._config["command"],
            env=get_default_environment() | self._config["env"],
            cwd=self._config["cwd"],
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        inbox, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, outbox = anyio.create_memory_object_stream[SessionMessage](0)

        async def read() -> None:
            async with inbox:
                async for line in self._lines(process):
                    try:
                        message = _message(line)
                    except (ValueError, RecursionError):
                        self.wrote_rubbish = True
                        self._complaints.say(f"no message: {line[:200].decode(errors='replace')}")
                        continue
                    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                        await inbox.send(SessionMessage(message))
            self.ended.set()

        async def write() -> None:
            assert process.stdin is not None
            async with outbox:
                async for sent in outbox:
                    line = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                    with suppress(ConnectionError):
                        process.stdin.write(line.encode("utf-8", "replace") + b"\n")
                        await process.stdin.drain()

        async def listen() -> None:
            assert process.stderr is not None
            while chunk := await process.stderr.read(_CHUNK):
                self._complaints.heard(chunk.decode(errors="replace"))

        async with anyio.create_task_group() as tasks:
            for task in (read, write, listen):
                tasks.start_soon(task)
            try:
                yield received, outgoing
            finally:
                if process.stdin is not None:
                    process.stdin.close()
                with anyio.CancelScope(shield=True), anyio.move_on_after(_LAST_WORDS_S):
                    await process.wait()
                tasks.cancel_scope.cancel()

    async def _lines(self, process: Process) -> AsyncGenerator[bytes, None]:
        assert process.stdout is not None
        begun = bytearray()
        while chunk := await process.stdout.read(_CHUNK):
            *whole, rest = chunk.split(b"\n")
            for line in whole:
                begun += line
                if begun.strip():
                    yield bytes(begun)
                begun.clear()
            begun += rest
            if len(begun) > LONGEST_LINE:
                self._fault = f"sent a message of more than {LONGEST_LINE >> 20} MB"
                return

    async def fate(self) -> str:
        """The reason why the program is of no use; empty if it is unknown."""
        if self._fault or self._process is None:
            return self._fault
        with suppress(TimeoutError):
            status = await asyncio.wait_for(self._process.wait(), _LAST_WORDS_S)
            how = f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"
            return how + (f": {self._complaints.last}" if self._complaints.last else "")
        return ""


def _message(line: bytes) -> JSONRPCMessage:
    """A message of the protocol; lone surrogates in it become "?". Raises ValueError and RecursionError.

    The SDK's own reader fails for surrogates and beyond 200 levels, and one tool's text would cost all tools.
    """
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        whole = json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace")
        return jsonrpc_message_adapter.validate_python(json.loads(whole), by_name=False)
