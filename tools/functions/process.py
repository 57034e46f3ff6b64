"""The process with the person's functions, seen from the app."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptoss_tui.workers.calls import Calls
from gptoss_tui.workers.child import Child, ChildError
from gptoss_tui.workers.wire import Wire

from ..source import SourceError

IMPORT_LIMIT = 20.0  # seconds
_LONGEST_REPLY = 64 << 20
"""Bytes of the description of a file's functions, or of a reply, which the other side cuts."""


class FunctionsError(SourceError):
    """Functions cannot be used; the message names the file, the line and the remedy."""


@dataclass(frozen=True, slots=True)
class Found:
    """The imported functions: the name, description and schema of each, and whether it was vouched for.

    `refused` is a sentence for each function that cannot be offered.
    """

    functions: list[dict[str, Any]]
    refused: list[str]


class FunctionsProcess:
    """The process that has imported `target`: a file, a module, or an entry point of a package.

    If `only` is given, it offers that function alone. `turn` is the lock that a request takes.
    """

    def __init__(self, target: Path | str, log: Path | None, only: str | None = None) -> None:
        self.target = str(target)
        self.turn = asyncio.Lock()
        self._only = only
        self._log = log
        self._child: Child | None = None
        self._calls: Calls | None = None

    async def start(self) -> Found:
        """Import the target and list its functions; raises FunctionsError."""
        module = f"{__package__}.worker"
        named = (self.target, self._only) if self._only else (self.target,)
        try:
            child = Child.start(
                "the functions' process", module, *named, log=self._log, longest=_LONGEST_REPLY
            )
        except ChildError as error:
            raise FunctionsError(f"{self.target}: {error}.") from error
        self._child, self._calls = child, Calls(child, Wire())
        try:
            async with asyncio.timeout(IMPORT_LIMIT):
                first = await self._calls.ask({"do": "offer"})
        except TimeoutError as error:
            await self.end()
            late = f"{self.target} was still being imported after {IMPORT_LIMIT:.0f} s"
            raise FunctionsError(f"{late}. Do less when it is imported.") from error
        except ChildError as error:
            await self.end()
            ended = f"{self.target} ended the process that imported it"
            raise FunctionsError(f"{ended}. Remove what does so.") from error
        except asyncio.CancelledError:
            await self.end()
            raise
        if "error" in first:
            await self.end()
            raise FunctionsError(self._told(first))
        return Found(first["functions"], [self._told(reason) for reason in first["refused"]])

    async def request(self, name: str, arguments: str) -> dict[str, Any]:
        """Call the function `name`; returns `text`, `is_error`, and the `type` of the result or error."""
        return await self._ask(name, {"do": "call", "name": name, "arguments": arguments})

    async def check(self, name: str, arguments: str) -> str:
        """The objection to the arguments of a call, empty if there is none; runs nothing."""
        reply = await self._ask(name, {"do": "check", "name": name, "arguments": arguments})
        return str(reply["text"])

    async def end(self) -> None:
        """End the process, even while a function is running; a later call starts it again."""
        child, self._child, self._calls = self._child, None, None
        if child is not None:
            await child.end()

    async def _ask(self, name: str, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to `message`; starts a process that has ended, and ends it if it is cancelled."""
        if self._child is None or not self._child.is_alive:
            try:
                await self.end()
                await self.start()
            except FunctionsError as error:
                return {"text": f"[ERROR] {error}", "is_error": True}
        assert self._calls is not None
        child = self._child
        try:
            reply: dict[str, Any] = await self._calls.ask(message)
        except ChildError:
            if self._child is child:
                await self.end()
            ended = f"[ERROR] {name} ended its process; the next call starts a new one."
            return {"text": ended, "is_error": True}
        except asyncio.CancelledError:
            await self.end()
            raise
        return reply | {"text": str(reply["text"]).encode("utf-8", "replace").decode()}

    def _told(self, reason: dict[str, Any]) -> str:
        """The sentence for a reason why a function or the target cannot be used, with its place."""
        elsewhere = f": {reason['file']}" if reason["file"] not in (None, self.target) else ""
        line = f", line {reason['line']}" if reason["line"] else ""
        mend = " Mend it and try again." if line else ""
        return f"{self.target}{elsewhere}{line}: {reason['error']}.{mend}"
