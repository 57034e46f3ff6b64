"""The installed `gptoss-chat`, run as a person runs it: a process of its own, in a folder of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from errno import ENOSYS
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.sandbox import bpf, narrow, probe, syscalls

ROWS, COLUMNS = 30, 100
# What a program must switch off before it leaves: alternate screen, mouse, focus and pasting reports.
MODES = ("1049", "1000", "1002", "1003", "1004", "2004")
SHELL = Path(__file__).parents[1] / "shell.py"
COMMAND = Path(sys.executable).parent / "gptoss-chat"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command() -> str:
    """The path of the installed command."""
    return str(COMMAND)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A person's environment with nothing of ours set and a home of its own."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("GPTOSS_CHAT_", "XDG_"))
    }
    home = tmp_path_factory.mktemp("home")
    return kept | {"HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8"}


@pytest.fixture(scope="session")
def run(environment: Mapping[str, str]) -> Run:
    """A function `(*arguments, stdin="") -> finished process`; nothing is a terminal."""

    def run(*arguments: str, stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=250,
            cwd=environment["HOME"],
            env={**environment, **extra},
            check=False,
        )

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(
    command: str, environment: Mapping[str, str], data: Path
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function `(*arguments, stdin=..., stderr=...) -> process`; its conversations lie in `data`.

    The process is killed in the end.
    """
    started: list[subprocess.Popen[str]] = []

    def start(
        *arguments: str, stdin: int = subprocess.DEVNULL, stderr: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [command, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**environment, "XDG_DATA_HOME": str(data)},
            cwd=environment["HOME"],
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture(scope="session")
def sandbox_notice() -> str:
    """What stderr says of Python when one answer is asked for: nothing where the strongest sandbox holds."""
    notice = PythonTool(confinement=asyncio.run(probe())).notice
    return f"gptoss-chat: {notice}\n" if notice else ""


@pytest.fixture(scope="session")
def endless(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that, when greedy, never ends its answer."""
    return tiny_checkpoint(tmp_path_factory.mktemp("endless"), max_position_embeddings=131072)


@pytest.fixture(scope="session")
def unconfinable(environment: Mapping[str, str]) -> Run:
    """The same as `run`, on a machine with no sandbox: its kernel has no Landlock, and bwrap is not found."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        architecture = syscalls.here()
        assert architecture is not None
        refusal = bpf.Refusal(narrow.CREATE_RULESET, ENOSYS)
        filter_ = bpf.assemble(bpf.program([refusal], architecture.audit, refuse_x32=False))
        spec: dict[str, Any] = {
            "limits": {},
            "landlock": None,
            "filter": base64.b64encode(filter_).decode(),
            "stand_ins": [],
            "environment": {**environment, "PATH": "/nowhere"},
        }
        return subprocess.run(
            [sys.executable, narrow.__file__, json.dumps(spec), str(COMMAND), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )

    return run


class Terminal:
    """A terminal of 100 x 30 in which one command runs."""

    def __init__(self, command: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.child = pexpect.spawn(
            command, arguments, env=dict(environment), cwd=environment["HOME"], dimensions=(ROWS, COLUMNS)
        )
        self.output = b""
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def text(self) -> str:
        """What is on the screen."""
        # Cell by cell: pyte's own `display` fails at half a wide character, of which the other half is gone.
        cells, columns = self._screen.buffer, range(self._screen.columns)
        lines = ("".join(cells[row][column].data for column in columns) for row in range(self._screen.lines))
        return "\n".join(line.rstrip() for line in lines)

    def wait_for(self, pattern: str, timeout: float = 120) -> None:
        """Read until the screen shows `pattern`."""
        self._read_until(lambda: re.search(pattern, self.text) is not None, timeout)
        assert re.search(pattern, self.text), f"{pattern!r} did not appear within {timeout} s:\n{self.text}"

    def wait_for_no(self, pattern: str, timeout: float = 60) -> None:
        """Read until the screen does not show `pattern` any more."""
        self._read_until(lambda: re.search(pattern, self.text) is None, timeout)
        assert not re.search(pattern, self.text), f"{pattern!r} stayed for {timeout} s:\n{self.text}"

    def pause(self, seconds: float) -> None:
        """Read for so long."""
        self._read_until(lambda: False, seconds)

    def leave(self, timeout: float = 60) -> int:
        """Read to the end; the exit status."""
        self._read_until(lambda: False, timeout)
        assert not self.child.isalive(), f"still running after {timeout} s:\n{self.text}"
        assert self.child.exitstatus is not None, f"killed by signal {self.child.signalstatus}"
        return int(self.child.exitstatus)

    def local_modes(self) -> int:
        """The terminal's own modes: echo, line editing, keys that are signals."""
        return int(termios.tcgetattr(self.child.child_fd)[3])

    def assert_restored(self) -> None:
        """Nothing that was switched on is still on; the cursor shows."""
        for mode in MODES:
            switches = re.findall(rb"\x1b\[\?([\d;]+)([hl])", self.output)
            last = [state for modes, state in switches if mode.encode() in modes.split(b";")]
            assert last[-1:] in ([], [b"l"]), f"mode {mode} was left on"
        assert self.output.rfind(b"\x1b[?25h") >= self.output.rfind(b"\x1b[?25l"), "the cursor is hidden"
        assert self.local_modes() & (termios.ECHO | termios.ICANON | termios.ISIG)

    def _read_until(self, satisfied: Callable[[], bool], timeout: float) -> None:
        end = time.monotonic() + timeout
        while time.monotonic() < end and not satisfied():
            try:
                self._take(self.child.read_nonblocking(65536, timeout=0.2))
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                self.child.wait()
                return

    def _take(self, data: Any) -> None:
        """pexpect's types promise text; without an encoding it gives bytes."""
        self.output += data
        self._stream.feed(data)


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(command: str, environment: Mapping[str, str], tmp_path: Path) -> Iterator[Open]:
    """A function `(*arguments) -> Terminal`; what still runs afterwards is ended.

    `program` is a Python script to run in place of the command. With a `shell` it does not lead the session.
    """
    opened: list[Terminal] = []
    own = {"XDG_STATE_HOME": str(tmp_path / "state")}  # what another test left in the composer is not ours

    def open_terminal(
        *arguments: str, program: Path | None = None, shell: bool = False, **extra: str
    ) -> Terminal:
        what = (command, *arguments) if program is None else (sys.executable, "-P", str(program), *arguments)
        if shell:
            what = (sys.executable, "-I", str(SHELL), *what)
        opened.append(Terminal(what[0], list(what[1:]), {**environment, **own, **extra}))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.child.close(force=True)
