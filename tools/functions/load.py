"""The app's side of the person's functions: one process imports them, and calls go across to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..log import open_log
from ..source import Opened, Source, SourceError
from ..tool import Output, Reach, Risk, Tool

IMPORT_LIMIT = 20.0  # seconds
CHECK_LIMIT = 10.0  # seconds
TIME_LIMIT = 120.0  # seconds


class FunctionsError(SourceError):
    """Functions cannot be used; the message names the file, the line and the mend."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a worker has imported: each function's name, description, schema, and whether it was vouched for;
    and a sentence for each that cannot be offered.
    """

    functions: list[dict[str, Any]]
    refused: list[str]


class Worker:
    """The process that has imported `target`: a file, a module, or an entry point of a package.

    It offers `only` one function if told to. Blocking: the tools below use it from a thread.
    """

    def __init__(self, target: Path | str, log: Path | None, only: str | None = None) -> None:
        self.target = str(target)
        self._only = only
        self.turn = asyncio.Lock()
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Found:
        """Import the target and say what there is; raises FunctionsError."""
        with open_log(self._log) as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *("-P", "-m", "gptoss_tui.tools.functions.worker"),
                    *(self.target, *([self._only] if self._only else [])),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                start_new_session=True,
            )
        timer = threading.Timer(IMPORT_LIMIT, self.kill)
        timer.start()
        try:
            first = self._read(self._process)
        finally:
            timer.cancel()
        if first is None and self._process is None:
            late = f"{self.target} was still being imported after {IMPORT_LIMIT:.0f} s"
            raise FunctionsError(f"{late}. Do less when it is imported.")
        if first is None:
            raise FunctionsError(f"{self.target} ended the process that imported it. Remove what does so.")
        if "error" in first:
            self.kill()
            raise FunctionsError(self._told(first))
        return Found(first["functions"], [self._told(reason) for reason in first["refused"]])

    def _told(self, reason: dict[str, Any]) -> str:
        """The sentence for a reason why something cannot be used, with the place that it comes from."""
        elsewhere = f": {reason['file']}" if reason["file"] not in (None, self.target) else ""
        line = f", line {reason['line']}" if reason["line"] else ""
        mend = " Mend it and try again." if line else ""
        return f"{self.target}{elsewhere}{line}: {reason['error']}.{mend}"

    def request(self, name: str, arguments: str) -> Output:
        """Call the function `name`; a process that ended is started anew first."""
        reply = self.ask(name, arguments)
        return Output(reply["text"], is_error=reply["is_error"])

    def check(self, name: str, arguments: str) -> str:
        """What is wrong with the arguments of a call, empty if nothing; runs nothing."""
        return str(self.ask(name, arguments, check=True)["text"])

    def ask(self, name: str, arguments: str, *, check: bool = False) -> dict[str, Any]:
        """As `request`, the worker's whole reply: `text`, `is_error`, the `type` returned or raised."""
        if self._process is None or self._process.poll() is not None:
            try:
                self.start()
            except FunctionsError as error:
                return {"text": f"[ERROR] {error}", "is_error": True}
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            message = {"name": name, "arguments": arguments, "check": check}
            print(json.dumps(message), file=process.stdin, flush=True)
            reply = self._read(process)
        except OSError:
            reply = None
        if reply is None:
            if self._process is process:
                self.kill()
            ended = f"[ERROR] {name} ended its process; the next call starts a new one."
            return {"text": ended, "is_error": True}
        return reply | {"text": str(reply["text"]).encode("utf-8", "replace").decode()}

    def kill(self) -> None:
        """End the process, and with it whatever function is running."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()

    @staticmethod
    def _read(process: subprocess.Popen[str]) -> dict[str, Any] | None:
        assert process.stdout is not None
        line = process.stdout.readline()
        return json.loads(line) if line else None


class FunctionTool(Tool):
    """One of the person's functions. It runs as the person, in a process that serves the whole file."""

    where = "on this machine, as you"

    def __init__(self, worker: Worker, function: dict[str, Any], time_limit: float = TIME_LIMIT) -> None:
        self.name = f"functions.{function['name']}"
        self.description = function["description"]
        self.parameters = function["parameters"]
        self.origin = worker.target
        self._risk = vouched_risk(function["vouched"])
        self._function = function["name"]
        self._worker = worker
        self.time_limit = time_limit

    def risk(self, arguments: str) -> Risk:
        """As far as any code of the person's, unless the definition says `approval = "never"`."""
        return self._risk

    async def objection(self, arguments: str) -> str | None:
        """Every field that does not fit, by name: see `Tool.objection`."""
        async with self._worker.turn:
            check = asyncio.to_thread(self._worker.check, self._function, arguments)
            try:
                return await asyncio.wait_for(check, CHECK_LIMIT) or None
            except TimeoutError:
                self._worker.kill()
                return f"[ERROR] The arguments of {self._function} took more than {CHECK_LIMIT:g} s to check."
            except asyncio.CancelledError:
                self._worker.kill()
                raise

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """Validate the JSON `arguments` and call the function; see `Tool.call`."""
        async with self._worker.turn:
            request = asyncio.to_thread(self._worker.request, self._function, arguments)
            try:
                output = await asyncio.wait_for(request, self.time_limit)
            except TimeoutError:
                self._worker.kill()
                late = f"[ERROR] {self._function} timed out after {self.time_limit:g} s."
                output = Output(late, is_error=True)
            except asyncio.CancelledError:
                self._worker.kill()
                raise
        yield output

    async def close(self) -> None:
        """End the process; a later call starts it again."""
        await asyncio.to_thread(self._worker.kill)


def vouched_risk(vouched: bool) -> Risk:
    """The risk of a function of the person's own, who may have vouched for it in its definition."""
    return Risk(Reach.BOUNDED) if vouched else Risk(Reach.OUTSIDE, "It is code of yours and runs as you.")


class Functions(Source):
    """What the person named with --functions: `FILE.py`, `package.module`, the name of an entry point, or one
    function of these, `FILE.py:FUNCTION`. A path is absolute. What the functions print goes to `log`.
    """

    def __init__(self, named: str, *, log: Path | None = None, time_limit: float = TIME_LIMIT) -> None:
        target, colon, only = named.rpartition(":")
        is_one = bool(colon) and only.isidentifier()
        self.origin = named
        self._worker = Worker(target if is_one else named, log, only if is_one else None)
        self.time_limit = time_limit

    async def open(self) -> Opened:
        """Import it in a process of its own."""
        try:
            found = await asyncio.to_thread(self._worker.start)
        except asyncio.CancelledError:
            self._worker.kill()
            raise
        return Opened(self._tools(found.functions), found.refused)

    async def close(self) -> None:
        """End the process."""
        await asyncio.to_thread(self._worker.kill)

    def _tools(self, functions: Sequence[dict[str, Any]]) -> list[FunctionTool]:
        return [FunctionTool(self._worker, function, self.time_limit) for function in functions]


def load_functions(
    target: Path | str, *, log: Path | None = None, time_limit: float = TIME_LIMIT
) -> list[FunctionTool]:
    """The public functions of a Python file, or of a module by its dotted name, as tools.

    `__all__` says which those are, if there is one. Type hints become the schema, a Google-style docstring
    the descriptions. What they print goes to `log`. Raises FunctionsError when the file is missing, does not
    import, or has a function that cannot be offered.
    """
    worker = Worker(target.resolve() if isinstance(target, Path) else target, log)
    found = worker.start()
    if found.refused:
        worker.kill()
        raise FunctionsError(found.refused[0])
    return [FunctionTool(worker, function, time_limit) for function in found.functions]
