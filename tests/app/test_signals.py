"""However the application ends, the terminal is given back as it was."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import Any

import pexpect
import pytest

PROGRAM = """
import sys
from gptoss_tui.app import ChatApp
from gptoss_tui.harmony import Effort

def stumble(approve):
    raise RuntimeError("there is no model")

app = ChatApp(stumble, model="none", effort=Effort.LOW)
app.run()
sys.exit(app.return_code)
"""


@pytest.fixture
def terminal() -> pexpect.spawn[Any]:
    environment = os.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    arguments = ["-P", "-c", PROGRAM]
    child = pexpect.spawn(sys.executable, arguments, env=environment, dimensions=(24, 80), timeout=120)
    child.expect_exact("RuntimeError")
    return child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(terminal: pexpect.spawn[Any], number: int) -> None:
    terminal.kill(number)
    terminal.expect(pexpect.EOF)
    left = terminal.before or b""
    assert b"\x1b[?1049l" in left and b"\x1b[?25h" in left, "the alternate screen is left, the cursor shown"
    assert b"\x1b[?1000l" in left and b"\x1b[?2004l" in left, "mouse and paste reports are off"
    terminal.close()
    assert terminal.exitstatus == 128 + number


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
