"""What the installed command says and keeps when the disk is full, or when it is killed."""

from __future__ import annotations

import json
import re
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.harmony import Role
from gptoss_tui.history.archive import Archive

QUESTION = "What is 417 * 38?"
UNCONFINED = ("--seed", "1", "--dangerously-bypass-approvals-and-sandbox")

Start = Callable[..., "subprocess.Popen[str]"]


def read_until(kind: str, process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """The events that the process prints, up to the first of that type."""
    told: list[dict[str, Any]] = []
    assert process.stdout is not None
    for line in process.stdout:
        told.append(json.loads(line))
        if told[-1]["type"] == kind:
            return told
    raise AssertionError(f"the process ended without {kind}: {told}")


def fill_disk(pid: int) -> None:
    """The process can make no file longer from now on, as on a full disk; root neither."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, most))


def make_room(pid: int) -> None:
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


def store(data: Path) -> Archive:
    return Archive(data / "gptoss-chat" / "sessions.sqlite3")


def killed_after_an_output(start: Start, data: Path) -> None:
    """Killed when `response.tool_output` is read, the program has kept what it printed."""
    process = start("-p", QUESTION, "--json", *UNCONFINED)
    shown = read_until("response.tool_output", process)[-1]
    process.kill()
    process.wait()
    assert "15846" in shown["output"]
    last = store(data).read().session.messages[-1]
    assert (last.role, last.text) == (Role.TOOL, shown["output"])


def test_an_output_that_was_shown_outlives_a_kill(start: Start, data: Path, run: Any) -> None:
    for _ in range(3):
        killed_after_an_output(start, data)
    shown = run("--plain", "--continue", stdin="/quit\n", XDG_DATA_HOME=str(data))
    assert "[output] 15846" in shown.stdout
    assert "[failed]" not in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize("_", range(30))
def test_an_output_that_was_shown_outlives_every_kill(start: Start, data: Path, _: int) -> None:
    killed_after_an_output(start, data)


def test_a_full_disk_is_told_in_mid_turn(start: Start, data: Path) -> None:
    process = start("-p", QUESTION, "--json", *UNCONFINED)
    told = read_until("response.tool_call", process)
    fill_disk(process.pid)
    rest, complaint = process.communicate(timeout=60)
    told += [json.loads(line) for line in rest.splitlines()]
    kinds = [event["type"] for event in told]
    assert kinds.count("conversation.unsaved") == 1
    assert kinds.index("conversation.unsaved") < kinds.index("response.tool_output")
    assert kinds[-1] == "response.completed"
    (output,) = (event for event in told if event["type"] == "response.tool_output")
    if not output["is_error"]:  # on a slow machine Python is not up yet, and cannot start on a full disk
        assert "15846" in told[-1]["output_text"].replace(",", "")
    assert process.returncode == 0, "it was answered"
    kept = store(data).read().session.messages
    assert kept[-1].recipient == "python"
    (line,) = complaint.splitlines()
    assert re.match(r"gptoss-chat: Not saved: the last \d messages of this conversation \(.*\)$", line)


def test_an_answer_that_is_not_kept_says_so(start: Start, data: Path) -> None:
    (data / "gptoss-chat").mkdir(parents=True)
    (data / "gptoss-chat" / "sessions.sqlite3").mkdir()
    process = start("-p", "Hello!", "--seed", "1", "--tools", "none")
    answer, complaint = process.communicate(timeout=60)
    assert process.returncode == 0
    assert answer.strip()
    first, last = complaint.splitlines()
    assert first.startswith("gptoss-chat: Not saved, and tried again until it is: ")
    assert last.startswith("gptoss-chat: Not saved: this conversation (")


def test_a_full_disk_on_the_screen(terminal: Any, data: Path) -> None:
    screen = terminal("--seed", "1", "--tools", "none", XDG_DATA_HOME=str(data))
    screen.wait_for("● ready")
    fill_disk(screen.child.pid)
    screen.child.send(b"Hello!\r")
    screen.wait_for("× Not saved, and tried again")
    screen.wait_for("tokens/s")
    screen.wait_for("● ready")
    assert "Not saved" in screen.text, "it stays when the answer is there"
    screen.child.send(b"\x11")  # Ctrl+Q
    assert screen.leave() == 0
    assert "Not saved: this conversation" in screen.text
    assert "--resume" not in screen.text


def test_a_disk_that_is_full_for_a_while(terminal: Any, data: Path) -> None:
    screen = terminal("--seed", "1", "--tools", "none", XDG_DATA_HOME=str(data))
    screen.wait_for("● ready")
    screen.child.send(b"My name is Ada.\r")
    screen.wait_for("tokens/s")
    screen.wait_for("● ready")
    fill_disk(screen.child.pid)
    screen.child.send(b"What is my name?\r")
    screen.wait_for("× Not saved, and tried again")
    screen.wait_for("(?s)tokens/s.*tokens/s")
    make_room(screen.child.pid)
    screen.wait_for_no("Not saved")
    screen.child.send(b"\x11")
    assert screen.leave() == 0
    assert "Not saved" not in screen.text
    (name,) = re.findall("gptoss-chat --resume ([0-9a-f-]+) goes on", screen.text)
    said = [m.text for m in store(data).read(name).session.messages if m.role is Role.USER]
    assert said == ["My name is Ada.", "What is my name?"]


def test_a_damaged_file_is_told_with_both_names_wherever_it_is_found(
    run: Any, terminal: Any, data: Path
) -> None:
    folder = data / "gptoss-chat"
    file = folder / "sessions.sqlite3"
    options = ("--seed", "1", "--tools", "none")
    run("-p", "My name is Ada.", *options, XDG_DATA_HOME=str(data))
    kept = store(data).read().session.messages

    def damage() -> None:
        for path in folder.glob("*.damaged-*"):
            path.unlink()
        with file.open("r+b") as opened:
            opened.write(b"noise " * 16)

    def names() -> tuple[str, str]:
        (aside,) = folder.glob("*.damaged-*")
        return str(aside), str(file)

    damage()
    looked = run("sessions", XDG_DATA_HOME=str(data))
    assert looked.returncode == 1 and "recovers what can be read" in looked.stderr
    asked = run("-p", "What is my name?", "--continue", *options, XDG_DATA_HOME=str(data))
    assert "Ada" in asked.stdout
    (line,) = asked.stderr.splitlines()
    assert all(name in line for name in names()) and f"{len(kept)} messages could be read" in line
    damage()
    talked = run("--plain", "--continue", *options, stdin="/quit\n", XDG_DATA_HOME=str(data))
    assert "> What is my name?" in talked.stdout
    assert all(name in talked.stderr for name in names())
    damage()
    screen = terminal(*options, "--continue", XDG_DATA_HOME=str(data))
    screen.wait_for("The file of conversations was damaged")
    screen.wait_for("▌ What is my name\\?")
    screen.child.send(b"\x11")
    assert screen.leave() == 0
    assert len(names()) == 2
    assert store(data).read().session.messages[: len(kept)] == kept


def test_two_programs_go_on_with_one_conversation_and_neither_loses_a_word(
    run: Any, terminal: Any, data: Path
) -> None:
    options = ("--seed", "1", "--tools", "none")
    run("-p", "My name is Ada.", *options, XDG_DATA_HOME=str(data))
    name = store(data).read().session.id
    screen = terminal(*options, "--continue", XDG_DATA_HOME=str(data))
    screen.wait_for("● ready")
    second = run("-p", "What is my name?", "--continue", *options, XDG_DATA_HOME=str(data))
    assert second.returncode == 0 and "Ada" in second.stdout
    assert f"process {screen.child.pid} on " in second.stderr
    screen.child.send(b"And what is my name?\r")
    screen.wait_for("tokens/s")
    screen.child.kill(9)
    screen.child.wait()
    said = {each.id: store(data).read(each.id).session.messages for each in store(data).summaries()[0]}
    assert [m.text for m in said[name] if m.role is Role.USER] == ["My name is Ada.", "And what is my name?"]
    (copy,) = said.keys() - {name}
    assert copy in second.stderr
    assert [m.text for m in said[copy] if m.role is Role.USER] == ["My name is Ada.", "What is my name?"]
    third = run("-p", "What is my name?", "--resume", name, *options, XDG_DATA_HOME=str(data))
    assert (third.returncode, third.stderr) == (0, ""), "the claim of the dead is void"
