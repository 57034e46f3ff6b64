"""The installed command in a real pseudo-terminal: typed at, read off the screen, the terminal given back."""

from __future__ import annotations

import re
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

ROWS, COLUMNS = 30, 100
# What a program must switch off before it leaves: alternate screen, mouse, focus and pasting reports.
MODES = ("1049", "1000", "1002", "1003", "1004", "2004")

# The REPL's answer to the sum, and the prompt after it.
ANSWERED = r"\n[^\[\n]*15,?846[^\n]*\n>\s*$"


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
        return "\n".join(line.rstrip() for line in self._screen.display)

    def wait_for(self, pattern: str, timeout: float = 60) -> None:
        """Read until the screen shows `pattern`."""
        self._read_until(lambda: re.search(pattern, self.text) is not None, timeout)
        assert re.search(pattern, self.text), f"{pattern!r} did not appear within {timeout} s:\n{self.text}"

    def leave(self, timeout: float = 15) -> int:
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
def terminal(command: str, environment: Mapping[str, str]) -> Iterator[Open]:
    """A function `(*arguments) -> Terminal`; what still runs afterwards is ended."""
    opened: list[Terminal] = []

    def open_terminal(*arguments: str, **extra: str) -> Terminal:
        opened.append(Terminal(command, list(arguments), {**environment, **extra}))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.child.close(force=True)


@pytest.mark.usefixtures("sandbox")
def test_a_question_is_typed_and_answered(terminal: Open) -> None:
    screen = terminal("--seed", "1")
    before = screen.local_modes()
    screen.wait_for("Message demo")
    assert not screen.local_modes() & termios.ECHO
    screen.child.send(b"What is 417 * 38?")
    screen.wait_for(r"417 \* 38\?")
    screen.child.send(b"\r")
    screen.wait_for("15,?846")
    screen.child.send(b"\x11")  # Ctrl+Q
    assert screen.leave() == 0
    screen.assert_restored()
    assert screen.local_modes() == before


def test_it_leaves_while_the_model_still_loads(terminal: Open, endless: Path) -> None:
    screen = terminal("-m", str(endless))
    screen.wait_for("Enter sends")
    screen.child.send(b"\x11")
    assert screen.leave() == 0
    screen.assert_restored()


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["-m", "gpt-oss-7b"], 1, "gpt-oss-7b"),
        (["--seed", "one"], 2, "--seed"),
    ],
)
def test_what_cannot_work_is_told_before_the_screen_is_taken(
    arguments: list[str], status: int, told: str, terminal: Open
) -> None:
    screen = terminal(*arguments)
    assert screen.leave() == status
    assert b"\x1b" not in screen.output
    assert told in screen.text


def test_an_unknown_theme_is_told(terminal: Open) -> None:
    screen = terminal(GPTOSS_CHAT_THEME="nope")
    assert screen.leave() == 2
    assert "nope" in screen.text
    assert "gptoss-dark" in screen.text


def test_a_dumb_terminal_is_sent_to_the_plain_front_end(terminal: Open) -> None:
    screen = terminal(TERM="dumb")
    assert screen.leave() == 2
    assert "--plain" in screen.text


@pytest.mark.usefixtures("sandbox")
def test_the_plain_front_end(terminal: Open) -> None:
    screen = terminal("--plain", "--seed", "1", TERM="dumb")
    screen.wait_for("Ctrl\\+D ends")
    screen.child.send(b"/effort low\n")
    screen.wait_for("Effort: low")
    screen.child.send(b"What is 417 * 38?\n")
    screen.wait_for(r"\[python\]")
    screen.wait_for(ANSWERED)
    screen.child.send(b"\x04")
    assert screen.leave() == 0
    assert b"\x1b" not in screen.output


def test_ctrl_c_at_the_shell_stops_an_answer(terminal: Open, endless: Path) -> None:
    screen = terminal(
        "-p", "hi", "-m", str(endless), "--temperature", "0", "--tools", "none", "--show-reasoning"
    )
    screen.wait_for(r"\w", timeout=30)
    screen.child.send(b"\x03")
    assert screen.leave() == 130
    assert b"Traceback" not in screen.output
    screen.assert_restored()


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
