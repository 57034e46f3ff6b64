"""A child process: a Python module of ours, started, bounded and ended.

The child leads a session of its own, so that the application alone interprets signals from the terminal. It
runs with `-P`, so that it cannot import a torch.py from the current folder. The event loop watches the pipes
without a transport: the child is bound to no loop, and an answer costs one wake-up.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from .log import open_log

_CAUSES: dict[int, str] = {
    signal.SIGKILL: "probably out of memory",
    signal.SIGSEGV: "a crash in native code",
    signal.SIGABRT: "a crash in native code",
    signal.SIGILL: "an instruction that this CPU lacks",
    signal.SIGBUS: "a file was changed or cut short while in use",
}
_LAST_BREATH_S = 3.0
"""Seconds in which a child that has closed its output must end."""

_LOOK_S = 0.005
"""Seconds between two looks at a child that is about to end."""

_PIECE = 1 << 16
"""Bytes that are read at a time, at most: the capacity of a pipe."""


class ChildError(Exception):
    """A child process cannot be started, or has ended; the message names the child and the reason."""


class Child:
    """One process; `name` stands for it in messages, and `log` is the file for its prints.

    Several event loops may use it, one after the other, but only one reader at a time.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path | None, longest: int) -> None:
        """`longest` bounds a line of its output, in bytes."""
        self.name = name
        self._process = process
        self._log = log
        self._longest = longest
        self._was_ended = False
        self._begun = bytearray()
        self._unwritten = bytearray()
        self._input_ends = False
        self._leave: Callable[[], None] = lambda: None
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    @classmethod
    def start(
        cls,
        name: str,
        module: str,
        *arguments: str,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        longest: int = 1 << 20,
    ) -> Child:
        """Run the module of that full name, with `environment` added to this process's own.

        Raises ChildError if the system starts no process.
        """
        try:
            with open_log(log) as complaints:
                process = subprocess.Popen(
                    (sys.executable, "-P", "-X", "faulthandler", "-m", module, *arguments),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    bufsize=0,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,
                )
        except OSError as error:
            raise ChildError(f"{name} cannot be started: {error.strerror}") from error
        return cls(name, process, log, longest)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def write(self, data: bytes) -> None:
        """Send `data` as fast as the child reads, without waiting; a child that has ended gets none."""
        self._unwritten += data
        self._flush()

    def close_input(self) -> None:
        """Close the child's input once all data has been sent."""
        self._input_ends = True
        self._flush()

    async def listen(self, hear: Callable[[bytes], None]) -> None:
        """Call `hear` with each line of output, until the child closes it; an incomplete line is dropped.

        Raises ChildError for a line that is too long, and whatever `hear` raises.
        """
        begun = self._begun

        def take(piece: bytes) -> None:
            *lines, rest = piece.split(b"\n")
            for end in lines:
                begun.extend(end)
                self._check_length()
                line = bytes(begun)
                begun.clear()
                hear(line)
            begun.extend(rest)
            self._check_length()

        await self._read(take)

    async def output(self, most: int) -> bytes:
        """The whole output, once the child closes it; nothing if that is more than `most` bytes."""
        whole = bytearray()

        def take(piece: bytes) -> None:
            whole.extend(piece)
            if len(whole) > most:
                whole.clear()
                self._leave()

        await self._read(take)
        return bytes(whole)

    async def wait(self) -> int:
        """The exit status, once the process has ended; for a signal, its negative number."""
        while (status := self._process.poll()) is None:  # noqa: ASYNC110 (no event tells it)
            await asyncio.sleep(_LOOK_S)
        return status

    async def fate(self) -> str:
        """How the process ended, in words. A process that closed its output and still runs is ended."""
        try:
            await asyncio.wait_for(self.wait(), _LAST_BREATH_S)
        except TimeoutError:
            await self.end()
            return f"{self.name} closed its output, and was ended"
        if self._was_ended:
            return f"{self.name} stopped (closed)"
        status = await self.end()
        if status >= 0:
            where = f"; the reason is in {self._log}" if self._log is not None else ""
            return f"{self.name} stopped (exit status {status}){where}"
        return f"{self.name} stopped (signal {-status}, {_CAUSES.get(-status, 'sent from outside')})"

    async def end(self) -> int:
        """Kill the process and every other one of its session; returns its exit status."""
        self.kill()
        status = await self.wait()
        self._leave()
        self._close_input()
        pipe = self._process.stdout
        assert pipe is not None
        if not pipe.closed:
            asyncio.get_running_loop().remove_reader(pipe)
            pipe.close()
        return status

    def kill(self) -> None:
        """Kill as `end` does, without waiting until the process has ended."""
        if not self._was_ended:
            self._was_ended = True
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    def _flush(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        if pipe.closed:
            self._unwritten.clear()
            return
        try:
            while self._unwritten:
                del self._unwritten[: os.write(pipe.fileno(), self._unwritten)]
        except BlockingIOError:
            asyncio.get_running_loop().add_writer(pipe, self._flush)
        except OSError:
            self._close_input()
        else:
            if self._input_ends:
                self._close_input()
            else:
                asyncio.get_running_loop().remove_writer(pipe)

    def _close_input(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        if not pipe.closed:
            asyncio.get_running_loop().remove_writer(pipe)
            pipe.close()
        self._unwritten.clear()

    async def _read(self, take: Callable[[bytes], None]) -> None:
        """Call `take` with the output as it comes, until the child closes it or `_leave` is called."""
        pipe = self._process.stdout
        assert pipe is not None
        if pipe.closed:
            return
        loop = asyncio.get_running_loop()
        left: asyncio.Future[None] = loop.create_future()

        def leave(error: Exception | None = None) -> None:
            if not left.done():
                loop.remove_reader(pipe)
                left.set_exception(error) if error is not None else left.set_result(None)

        def read() -> None:
            try:
                if piece := os.read(pipe.fileno(), _PIECE):
                    take(piece)
                else:
                    leave()
            except BlockingIOError:
                pass
            except Exception as error:
                leave(error)

        self._leave = leave
        loop.add_reader(pipe, read)
        try:
            await left
        finally:
            self._leave = lambda: None
            if not pipe.closed:
                loop.remove_reader(pipe)

    def _check_length(self) -> None:
        if len(self._begun) > self._longest:
            raise ChildError(f"{self.name} wrote a line of more than {self._longest:,} bytes")
