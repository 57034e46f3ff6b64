"""However the application ends, the terminal is given back as it was."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pexpect
import pytest

PROGRAM = """
import sys
from gptoss_tui.tui.app import ChatApp
from gptoss_tui.harmony import Effort

def stumble(approve):
    raise RuntimeError("there is no model")

app = ChatApp(stumble, model="none", effort=Effort.LOW)
app.run()
sys.exit(app.return_code)
"""


SHELL = Path(__file__).parents[1] / "shell.py"


@pytest.fixture
def terminal() -> pexpect.spawn[Any]:
    """The program in a terminal, started by a shell."""
    environment = os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    arguments = ["-I", str(SHELL), sys.executable, "-P", "-c", PROGRAM]
    child = pexpect.spawn(sys.executable, arguments, env=environment, dimensions=(24, 80), timeout=120)
    child.expect_exact("RuntimeError")
    return child


def _program(terminal: pexpect.spawn[Any]) -> int:
    """The process id of the program."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return next(int(pid) for pid, parent in map(str.split, table.splitlines()) if int(parent) == terminal.pid)


ORDERLY = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT]
DEADLY = [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS]
# Alternate screen left, cursor shown, and off: paste, focus and mouse reports, and kitty's keys.
RESTORED = (b"?1049l", b"?25h", b"?2004l", b"?1004l", b"?1000l", b"?1003l", b"?1006l", b"<u")


@pytest.mark.parametrize("number", [*ORDERLY, *DEADLY])
def test_a_signal_restores_the_terminal(terminal: pexpect.spawn[Any], number: signal.Signals) -> None:
    os.kill(_program(terminal), number)
    terminal.expect(pexpect.EOF)
    left = terminal.before or b""
    assert [mode for mode in RESTORED if b"\x1b[" + mode not in left] == []
    modes = termios.tcgetattr(terminal.child_fd)
    assert modes[0] & termios.ICRNL and modes[3] & termios.ECHO and modes[3] & termios.ICANON
    terminal.close()
    assert terminal.exitstatus == 128 + number or (number in DEADLY and terminal.exitstatus == 99)


def test_a_stopped_program_leaves_the_terminal_to_others(terminal: pexpect.spawn[Any]) -> None:
    """Restored once, when it stops: whoever has the terminal then is not disturbed, however it ends."""
    program = _program(terminal)
    os.kill(program, signal.SIGTSTP)
    for mode in (b"?1049l", b"?25h", b"?1004l"):
        terminal.expect_exact(b"\x1b[" + mode)
    _wait_until_stopped(program)
    assert termios.tcgetattr(terminal.child_fd)[3] & termios.ECHO
    os.kill(program, signal.SIGKILL)
    terminal.expect(pexpect.EOF)
    assert terminal.before == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_goes_on_has_its_screen_and_gives_it_back(
    terminal: pexpect.spawn[Any], number: signal.Signals
) -> None:
    program = _program(terminal)
    os.kill(program, signal.SIGTSTP)
    terminal.expect_exact(b"\x1b[?1004l")
    _wait_until_stopped(program)
    os.kill(program, signal.SIGCONT)
    terminal.expect_exact(b"\x1b[?1049h")
    terminal.expect_exact(b"RuntimeError")
    os.kill(program, number)
    terminal.expect(pexpect.EOF)
    assert [mode for mode in RESTORED if b"\x1b[" + mode not in (terminal.before or b"")] == []


def test_a_program_that_was_stopped_from_outside_goes_on_and_leaves(terminal: pexpect.spawn[Any]) -> None:
    """It never gave the terminal back, so it must not take it a second time."""
    program = _program(terminal)
    os.kill(program, signal.SIGSTOP)
    _wait_until_stopped(program)
    os.kill(program, signal.SIGCONT)
    terminal.expect_exact(b"RuntimeError")
    terminal.send("\x11")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0


def _wait_until_stopped(program: int) -> None:
    """Wait until the kernel says so."""
    state = b""
    while not state.startswith(b"T"):
        state = subprocess.run(
            ["ps", "-o", "state=", "-p", str(program)], capture_output=True, check=True
        ).stdout


def test_ctrl_q_leaves_with_success(terminal: pexpect.spawn[Any]) -> None:
    terminal.send("\x11")
    terminal.expect(pexpect.EOF)
    assert b"\x1b[?1049l" in (terminal.before or b"")
    terminal.close()
    assert terminal.exitstatus == 0


def test_a_terminal_that_goes_without_a_signal_takes_the_program_with_it() -> None:
    """As when `su -c` has made a session of its own, and the window is closed."""
    end, terminal = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
        start_new_session=True,  # of which the terminal is not the controlling one
    )
    os.close(terminal)
    try:
        shown = b""
        while b"RuntimeError" not in shown:
            shown += os.read(end, 65536)
        os.close(end)
        assert program.wait(timeout=120) == 128 + signal.SIGHUP
    finally:
        program.kill()
