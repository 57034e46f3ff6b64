"""Player: one engine in a process of its own, which does nothing unless it is asked (see protocol.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple


class Play(NamedTuple):
    """Seconds from a prompt to its first token, and of each step after it."""

    read_s: float
    steps_s: list[float]


class Player:
    """A process that runs a script of this folder. As a context manager it is ended at the end."""

    def __init__(self, python: str, script: str, *arguments: object, environment: Mapping[str, str]) -> None:
        """Start it and wait until its model is loaded. Exits if it ends instead; its stderr says why."""
        command = [python, Path(__file__).with_name(script), *map(str, arguments)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        self._script = script
        self._answer()
        about = self.ask("about")
        self.name: str = about["name"]
        self.weight_bytes: list[float] = about["weight_bytes"]

    def __enter__(self) -> Player:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, method: str, *arguments: object) -> Any:
        """What a method of the player returns."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({method: arguments}) + "\n")
        return self._answer()

    def play(self, ids: Sequence[int], steps: int) -> Play:
        """Read a prompt, of which the player remembers what it read last, and take steps after it."""
        return Play(**self.ask("play", list(ids), steps))

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self._script} ended with exit status {self._process.wait()}")
        return json.loads(line)
