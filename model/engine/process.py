"""The worker process, seen from the application: start it, talk to it, learn how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from gptoss_tui.model.engine.engine import EngineDied, EngineError
from gptoss_tui.model.engine.log import open_log
from gptoss_tui.model.engine.wire import Command, decode, encode

LONGEST_LINE = 1 << 20

_CAUSES = {
    signal.SIGKILL: "probably out of memory",
    signal.SIGSEGV: "a crash in native code",
    signal.SIGABRT: "a crash in native code",
    signal.SIGILL: "an instruction that this CPU lacks",
    signal.SIGBUS: "a checkpoint file was changed or cut short while in use",
}


class WorkerProcess:
    """One worker, from start to end."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._closed = False

    @classmethod
    async def start(cls, threads: int, log: Path) -> WorkerProcess:
        """Start a worker with `threads` threads to compute with; what it prints goes to the file `log`.

        Raises EngineError if the system has no process to give.
        """
        # Idle OpenMP threads sleep: spinning was measured 10x slower beside neighbours on the same cores.
        environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ | {"OMP_NUM_THREADS": str(threads)}
        # -P: a torch.py in the current folder is not ours to import.
        arguments = ("-P", "-X", "faulthandler", "-m", "gptoss_tui.model.engine.worker")
        try:
            with open_log(log) as stderr:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *arguments,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=stderr,
                    env=environment,
                    limit=LONGEST_LINE,
                    start_new_session=True,  # signals from the terminal are the application's to interpret
                )
        except OSError as error:
            raise EngineError(f"The engine's process cannot be started: {error.strerror}.") from error
        return cls(process, log)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not been seen to end."""
        return self._process.returncode is None

    def send(self, call: int, command: Command) -> None:
        """Hand over a command without waiting: a worker always listens, and `receive` tells if it is gone."""
        assert self._process.stdin is not None
        self._process.stdin.write(encode(call, command))

    async def receive(self, call: int) -> Any:
        """The next answer to `call`; those to earlier calls are dropped. Raises EngineDied."""
        assert self._process.stdout is not None
        # Half a line is what a killed process had begun to say.
        while (line := await self._process.stdout.readline()).endswith(b"\n"):
            answered, answer = decode(line)
            if answered == call:
                return answer
        raise EngineDied(self._obituary(await self._process.wait()))

    async def kill(self) -> None:
        """End the process at once; it has nothing to save."""
        self._closed = True
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def _obituary(self, status: int) -> str:
        if self._closed:
            return "engine stopped (closed)"
        if status >= 0:
            return f"engine stopped (exit status {status}); the reason is in {self._log}"
        cause = _CAUSES.get(signal.Signals(-status), "sent from outside")
        return f"engine stopped (signal {-status}, {cause})"
