"""The app's side of the person's functions: one process imports the file, and calls go across to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from ..tool import Output, Tool

IMPORT_LIMIT = 20.0  # seconds
TIME_LIMIT = 120.0  # seconds


class FunctionsError(Exception):
    """A file of functions cannot be used; the message names the file, the line and the mend."""


class Worker:
    """The process that has imported the file; it offers `only` one function if told to.

    Blocking: the tools below use it from a thread.
    """

    def __init__(self, path: Path, log: Path | None, only: str | None = None) -> None:
        self.path = path
        self._only = only
        self.turn = asyncio.Lock()
        self._log = log or Path(os.devnull)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> list[dict[str, Any]]:
        """Import the file and return its functions' names, descriptions and schemas.

        Raises FunctionsError.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *("-P", "-m", "gptoss_tui.tools.functions.worker"),
                    *(str(self.path), *([self._only] if self._only else [])),
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
            late = f"{self.path} was still being imported after {IMPORT_LIMIT:.0f} s"
            raise FunctionsError(f"{late}. Do less when it is imported.")
        if first is None:
            raise FunctionsError(f"{self.path} ended the process that imported it. Remove what does so.")
        if "error" in first:
            self.kill()
            line = f", line {first['line']}" if first["line"] else ""
            raise FunctionsError(f"{self.path}{line}: {first['error']}. Mend the file and start again.")
        functions: list[dict[str, Any]] = first["functions"]
        return functions

    def request(self, name: str, arguments: str) -> Output:
        """Call the function `name`; a process that ended is started anew first."""
        reply = self.ask(name, arguments)
        return Output(reply["text"], is_error=reply["is_error"])

    def ask(self, name: str, arguments: str) -> dict[str, Any]:
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
            print(json.dumps({"name": name, "arguments": arguments}), file=process.stdin, flush=True)
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

    where = "on this machine"

    def __init__(self, worker: Worker, function: dict[str, Any], time_limit: float = TIME_LIMIT) -> None:
        self.name = f"functions.{function['name']}"
        self.description = function["description"]
        self.parameters = function["parameters"]
        self._function = function["name"]
        self._worker = worker
        self._time_limit = time_limit

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        """Validate the JSON `arguments` and call the function; see `Tool.call`."""
        async with self._worker.turn:
            request = asyncio.to_thread(self._worker.request, self._function, arguments)
            try:
                output = await asyncio.wait_for(request, self._time_limit)
            except TimeoutError:
                self._worker.kill()
                late = f"[ERROR] {self._function} timed out after {self._time_limit:g} s."
                output = Output(late, is_error=True)
            except asyncio.CancelledError:
                self._worker.kill()
                raise
        yield output

    async def close(self) -> None:
        """End the process; a later call starts it again."""
        await asyncio.to_thread(self._worker.kill)


def load_functions(
    path: Path, *, log: Path | None = None, time_limit: float = TIME_LIMIT
) -> list[FunctionTool]:
    """The public functions of the Python file `path`, as tools; respects the file's `__all__`.

    Type hints become the schema, a Google-style docstring the descriptions. What the file prints goes to
    `log`. Raises FunctionsError when the file is missing, does not import, or has nothing to offer.
    """
    if not path.is_file():
        raise FunctionsError(f"{path} is not a file. Give the path of a Python file that defines functions.")
    worker = Worker(path.resolve(), log)
    return [FunctionTool(worker, function, time_limit) for function in worker.start()]
