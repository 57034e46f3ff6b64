"""The installed command in a real pseudo-terminal: typed at, read off the screen, the terminal given back."""

from __future__ import annotations

import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# The REPL's answer to the sum, and the prompt after it.
ANSWERED = r"\n[^\[\n]*15,?846[^\n]*\n>\s*$"


Open = Callable[..., Any]


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
    screen.wait_for(r"\w")
    screen.child.send(b"\x03")
    assert screen.leave() == 130
    assert b"Traceback" not in screen.output
    screen.assert_restored()


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
