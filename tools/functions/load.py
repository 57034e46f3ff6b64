"""The person's functions as tools: a process imports them, and calls are sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..source import OpenedSource, Source
from ..tool import Output, Reach, Risk, Tool
from .process import Found, FunctionsError, FunctionsProcess

CHECK_LIMIT = 10.0  # seconds
TIME_LIMIT = 120.0  # seconds


class FunctionTool(Tool):
    """One of the person's functions. It runs as the person, in the process of its file."""

    where = "on this machine, as you"

    def __init__(
        self, process: FunctionsProcess, function: dict[str, Any], time_limit: float = TIME_LIMIT
    ) -> None:
        self.name = f"functions.{function['name']}"
        self.description = function["description"]
        self.parameters = function["parameters"]
        self.origin = process.target
        self._risk = vouched_risk(function["vouched"])
        self._function = function["name"]
        self._process = process
        self.time_limit = time_limit

    def risk(self, arguments: str) -> Risk:
        """The risk of any code of the person's, unless the definition says `approval = "never"`."""
        return self._risk

    async def objection(self, arguments: str) -> str | None:
        """The fields that do not fit, by name: see `Tool.objection`."""
        async with self._process.turn:
            try:
                async with asyncio.timeout(CHECK_LIMIT):
                    return await self._process.check(self._function, arguments) or None
            except TimeoutError:
                return f"[ERROR] The arguments of {self._function} took more than {CHECK_LIMIT:g} s to check."

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """Validate the JSON `arguments` and call the function; see `Tool.call`."""
        async with self._process.turn:
            try:
                async with asyncio.timeout(self.time_limit):
                    reply = await self._process.request(self._function, arguments)
                output = Output(reply["text"], is_error=reply["is_error"])
            except TimeoutError:
                late = f"[ERROR] {self._function} timed out after {self.time_limit:g} s."
                output = Output(late, is_error=True)
        yield output

    async def close(self) -> None:
        """End the process; a later call starts it again."""
        await self._process.end()


def vouched_risk(vouched: bool) -> Risk:
    """The risk of a function of the person's, who may have vouched for it in its definition."""
    return Risk(Reach.BOUNDED) if vouched else Risk(Reach.OUTSIDE, "It is code of yours and runs as you.")


class Functions(Source):
    """The functions of one --functions option: `FILE.py`, `package.module`, or an entry point's name.

    With `:FUNCTION` at the end, it is one function of these. A path is absolute. The functions' prints go to
    `log`.
    """

    def __init__(self, named: str, *, log: Path | None = None, time_limit: float = TIME_LIMIT) -> None:
        target, colon, only = named.rpartition(":")
        is_one = bool(colon) and only.isidentifier()
        self.origin = named
        self._process = FunctionsProcess(target if is_one else named, log, only if is_one else None)
        self.time_limit = time_limit

    async def open(self) -> OpenedSource:
        """Import the functions in a process of their own."""
        found = await self._process.start()
        return OpenedSource(self._tools(found.functions), found.refused)

    async def close(self) -> None:
        """End the process."""
        await self._process.end()

    def _tools(self, functions: Sequence[dict[str, Any]]) -> list[FunctionTool]:
        return [FunctionTool(self._process, function, self.time_limit) for function in functions]


def load_functions(
    target: Path | str, *, log: Path | None = None, time_limit: float = TIME_LIMIT
) -> list[FunctionTool]:
    """The public functions of a Python file, or of a module by its dotted name, as tools.

    If there is an `__all__`, it lists them. Type hints become the schema, a Google-style docstring the
    descriptions. The functions' prints go to `log`. Raises FunctionsError if the file is missing, fails to
    import, or has a function that cannot be offered.
    """
    process = FunctionsProcess(target.resolve() if isinstance(target, Path) else target, log)

    async def find() -> Found:
        try:
            return await process.start()
        finally:
            await process.end()  # the process would end with its thread; the first call starts another

    with ThreadPoolExecutor(1) as thread:  # the caller's thread may have a running event loop
        found = thread.submit(asyncio.run, find()).result()
    if found.refused:
        raise FunctionsError(found.refused[0])
    return [FunctionTool(process, function, time_limit) for function in found.functions]
