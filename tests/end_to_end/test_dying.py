"""However the program dies: the terminal is given back, what was written is kept, nothing is left running."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]

# The installed command, in which Ctrl+O brings out a mistake of the kind that is named last; "building" comes
# without a key.
BROKEN = """
import os
import sys

from gptoss_tui.cli.main import main
from gptoss_tui.tui.app import ChatApp
from gptoss_tui.tui.screens.chat import ChatScreen
from gptoss_tui.tui.widgets.status_line import StatusLine
from gptoss_tui.tui.widgets.transcript import Transcript


def fail(*_, **__):
    raise KeyError("No 'text-area--gutter' key\\x1b[31m\\n" + "in" * 1000)


async def fail_later():
    fail()


def fail_at(screen):
    match sys.argv[-1]:
        case "handler":
            fail()
        case "render":
            StatusLine.render = fail
            screen.query_one(StatusLine).refresh()
        case "timer":
            screen.set_timer(0.01, fail)
        case "worker":
            screen.run_worker(fail_later())
        case "input":
            type(screen.app._driver).process_message = fail
        case "sending":
            ChatScreen.on_composer_sent = fail
        case "session":
            Transcript.add = fail


ChatScreen.action_cards = fail_at
if sys.argv[-1] == "building":
    ChatApp.__init__ = fail

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:-1]))
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("broken") / "broken.py"
    program.write_text(BROKEN)
    return program


@pytest.fixture
def state(tmp_path: Path) -> Mapping[str, str]:
    """Folders of the test's own for what the program keeps."""
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_DATA_HOME": str(tmp_path / "data")}


@pytest.mark.parametrize("kind", ["handler", "render", "timer", "worker", "input", "sending", "session"])
def test_a_mistake_in_the_program_is_told_in_one_line(
    kind: str, terminal: Open, broken: Path, state: Mapping[str, str], endless: Path
) -> None:
    screen = terminal("-m", str(endless), "--tools", "", kind, program=broken, **state)
    before = screen.local_modes()
    screen.wait_for("Enter sends")
    screen.child.send(b"a long thought")
    screen.wait_for("a long thought")
    screen.child.send(b"\x0f")  # Ctrl+O
    if kind in ("input", "sending", "session"):
        screen.child.send(b"\r")
    assert screen.leave() == 1
    screen.assert_restored()
    assert screen.local_modes() == before
    told = screen.output[screen.output.rindex(b"gptoss-chat: ") :].decode()
    assert "KeyError" in told and "\x1b" not in told and told.count("\n") == 1 and len(told) < 600
    assert b"Traceback" not in screen.output
    log = Path(re.search(r"\S+/screen\.log", told)[0])  # type: ignore[index]
    assert log.stat().st_mode & 0o777 == 0o600
    assert "Traceback" in log.read_text() and "in fail\n" in log.read_text()
    assert "\x1b" not in log.read_text()
    assert "what you had written" in told

    assert _drafts(state) == ["a long thought"]


def test_a_mistake_before_there_is_a_screen_is_told_in_one_line(
    terminal: Open, broken: Path, state: Mapping[str, str]
) -> None:
    screen = terminal("--tools", "", "building", program=broken, **state)
    assert screen.leave() == 1
    screen.assert_restored()
    told = screen.output.decode()
    assert told.startswith("gptoss-chat: the screen failed (KeyError: ") and told.count("\n") == 1
    log = Path(re.search(r"\S+/screen\.log", told)[0])  # type: ignore[index]
    assert "Traceback" in log.read_text() and "in fail\n" in log.read_text()


def test_a_mistake_while_nothing_can_be_saved_tells_what_is_lost(
    terminal: Open, broken: Path, state: Mapping[str, str]
) -> None:
    screen = terminal("--seed", "1", "--tools", "", "handler", program=broken, **state)
    screen.wait_for("● ready")
    _, most = resource.prlimit(screen.child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(screen.child.pid, resource.RLIMIT_FSIZE, (1, most))  # as on a full disk
    screen.child.send(b"Hello!\r")
    screen.wait_for("× Not saved, and tried again")
    screen.wait_for("tokens/s")
    screen.wait_for("● ready")
    screen.child.send(b"\x0f")
    assert screen.leave() == 1
    told = screen.output[screen.output.rindex(b"gptoss-chat: the screen") :].decode()
    assert "; not saved: this conversation (" in told and told.count("\n") == 1
    assert "screen.log cannot be written" in told
    assert "--resume" not in told


def test_a_mistake_leaves_the_conversation_to_be_taken_up(
    terminal: Open, broken: Path, state: Mapping[str, str]
) -> None:
    screen = terminal("--tools", "", "handler", program=broken, **state)
    screen.wait_for("● ready")
    screen.child.send(b"Hello!\r")
    screen.wait_for(r"Hello!(.|\n)*effort \w+ · \d+ tokens(.|\n)*● ready")
    screen.child.send(b"\x0f")
    assert screen.leave() == 1
    told = screen.output[screen.output.rindex(b"gptoss-chat: the screen") :].decode()
    resume = re.search(r"--resume (\S+)", told)
    assert resume is not None
    again = terminal("--tools", "", "--resume", resume[1], **state)
    again.wait_for("▌ Hello!")
    again.child.send(b"\x11")
    assert again.leave() == 0


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT]
)
def test_a_signal_leaves_neither_a_mode_nor_a_process_and_keeps_the_draft(
    number: signal.Signals,
    terminal: Open,
    state: Mapping[str, str],
    alive: Callable[[int], bool],
    family: Callable[[int], list[int]],
) -> None:
    screen = terminal("--seed", "1", shell=True, **state)
    before = screen.local_modes()
    screen.wait_for("● ready")
    screen.child.send(b"a long thought")
    screen.wait_for("a long thought")
    while _drafts(state) != ["a long thought"]:
        screen.pause(0.05)
    _, program, *parts = family(screen.child.pid)
    assert len(parts) > 2, "the engine, the tokenizer and the watcher"
    os.kill(program, number)
    assert screen.leave() == 128 + number
    screen.assert_restored()
    assert screen.local_modes() == before
    while any(alive(process) for process in parts):
        screen.pause(0.05)

    assert _drafts(state) == ["a long thought"]


def test_what_was_written_stands_in_the_composer_at_the_next_start(
    terminal: Open, state: Mapping[str, str], endless: Path
) -> None:
    arguments = ("-m", str(endless), "--tools", "")
    for end in (signal.SIGKILL, signal.SIGTERM, None):
        screen = terminal(*arguments, **state)
        if end is signal.SIGKILL:
            screen.wait_for("Enter sends")
            screen.child.send(b"a long thought")
        screen.wait_for("a long thought")
        while _drafts(state) != ["a long thought"]:
            screen.pause(0.05)
        if end is not None:
            screen.child.kill(end)
            screen.pause(15)
    screen.child.send(b"\x03")  # Ctrl+C clears the line
    screen.wait_for("Message ")
    screen.child.send(b"\x11")
    assert screen.leave() == 0
    assert _drafts(state) == []


def _drafts(state: Mapping[str, str]) -> list[str]:
    folder = Path(state["XDG_STATE_HOME"]) / "gptoss-chat" / "drafts"
    return [path.read_text() for path in folder.iterdir()] if folder.exists() else []


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
