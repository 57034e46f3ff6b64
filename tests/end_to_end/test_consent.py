"""Permissions in a real terminal and in pipes, with the model that is carried along asking for Python."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]
Run = Callable[..., subprocess.CompletedProcess[str]]

QUESTION = b"What is 417 * 38?\r"
FULL = ("--seed", "1", "--sandbox", "danger-full-access")


def test_a_call_is_asked_about_refused_with_a_reason_and_allowed(terminal: Open) -> None:
    screen = terminal(*FULL)
    screen.wait_for("FULL ACCESS")
    screen.wait_for("Message demo")
    screen.child.send(QUESTION)
    screen.wait_for("Run this call\\? It runs on this machine")
    screen.wait_for("n  No .*y  Once .*e  Edit")
    assert "Always" not in screen.text
    screen.pause(0.7)
    screen.child.send(b"\x1b")
    screen.wait_for("What shall the model be told")
    screen.child.send(b"not today\r")
    screen.wait_for("and says: not today")
    screen.wait_for("● ready")
    screen.child.send(QUESTION)
    screen.wait_for("waiting for your approval")
    screen.pause(0.7)
    screen.child.send(b"y")
    screen.wait_for("python  finished")
    screen.wait_for("15,?846")
    screen.child.send(b"\x11")
    assert screen.leave() == 0
    screen.assert_restored()


def test_what_was_typed_before_the_question_allows_nothing(terminal: Open) -> None:
    screen = terminal(*FULL)
    screen.wait_for("● ready")
    screen.child.send(QUESTION + b"yyyyAAA\r\x1b[200~y\x1b[201~")
    screen.wait_for("Run this call\\?")
    assert "python  finished" not in screen.text
    screen.child.send(b"\x11")
    assert screen.leave() == 0


def test_the_plain_front_end_asks(terminal: Open) -> None:
    screen = terminal("--plain", *FULL, TERM="dumb")
    screen.wait_for("Ctrl\\+D ends")
    screen.child.send(b"What is 417 * 38?\ny\n")  # typed ahead: no answer to a question not yet asked
    screen.wait_for("python wants to run on this machine")
    screen.wait_for("Run it\\?")
    assert "[output]" not in screen.text
    screen.child.send(b"n not today\n")
    screen.wait_for("and says: not today")
    screen.wait_for("\n>\\s*$")
    screen.child.send(b"What is 417 * 38?\n")
    screen.wait_for("Run it\\?(.|\n)*Run it\\?")
    screen.child.send(b"e\n")
    screen.wait_for("a line with a single dot ends them")
    screen.child.send(b"6 * 7\n.\n")
    screen.wait_for("6 \\* 7\\s+It runs with all(.|\n)*Run it\\?")
    screen.child.send(b"y\n")
    screen.wait_for(r"changed the call to: 6 \* 7\]\s+42")
    screen.wait_for("\n>\\s*$")
    screen.child.send(b"/permissions\n")
    screen.wait_for("what reaches outside is asked about(.|\n)*\n>\\s*$")
    screen.child.send(b"\x04")
    assert screen.leave() == 0


@pytest.mark.usefixtures("sandbox")
def test_under_untrusted_always_makes_a_rule_that_holds_in_the_next_run(
    terminal: Open, environment: Any
) -> None:
    rules = Path(environment["HOME"]) / ".config/gptoss-chat/permissions.json"
    screen = terminal("--plain", "--seed", "1", "--ask-for-approval", "untrusted", TERM="dumb")
    screen.wait_for("Ctrl\\+D ends")
    screen.child.send(b"What is 417 * 38?\n")
    screen.wait_for("\\[A\\]lways \\(python\\)")
    screen.child.send(b"A\n")
    screen.wait_for("From now on without asking: python")
    screen.wait_for("\n>\\s*$")
    screen.child.send(b"What is 417 * 38?\n")
    screen.wait_for("\\[output\\](.|\\n)*\\[output\\](.|\\n)*\n>\\s*$")
    screen.child.send(b"\x04")
    assert screen.leave() == 0
    assert [entry["rule"] for entry in json.loads(rules.read_text())["allow"]] == ["python"]
    screen = terminal("--plain", "--seed", "1", "--ask-for-approval", "untrusted", TERM="dumb")
    screen.wait_for("Ctrl\\+D ends")
    screen.child.send(b"What is 417 * 38?\n")
    screen.wait_for("\\[output\\]")
    screen.wait_for("\n>\\s*$")
    screen.child.send(b"/permissions revoke 1\n")
    screen.wait_for("Revoked: allow python(.|\n)*\n>\\s*$")
    screen.child.send(b"\x04")
    assert screen.leave() == 0
    assert json.loads(rules.read_text()) == {"allow": []}


@pytest.mark.parametrize("json_lines", [False, True])
def test_where_nobody_can_be_asked_it_is_refused_and_told(run: Run, json_lines: bool) -> None:
    finished = run(*FULL, "-p", "What is 417 * 38?", *["--json"] * json_lines)
    assert "python was not run: it needs approval, and there is no one to ask" in finished.stderr
    assert "--dangerously-bypass-approvals-and-sandbox" in finished.stderr
    if json_lines:
        events = [json.loads(line) for line in finished.stdout.splitlines()]
        (refused,) = [one for one in events if one["type"] == "response.tool_call.refused"]
        (output,) = [one for one in events if one["type"] == "response.tool_output"]
        assert "there is no one to ask" in refused["message"] and output["is_error"]


def test_never_refuses_and_says_what_would_allow_it(run: Run) -> None:
    finished = run(*FULL, "--ask-for-approval", "never", "-p", "What is 417 * 38?")
    assert "which --ask-for-approval never refuses" in finished.stderr


def test_no_file_and_no_environment_can_bypass(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("bypass = true\n")
    finished = run("-p", "hi", GPTOSS_CHAT_CONFIG=str(config))
    assert finished.returncode == 2 and "bypass: no such setting" in finished.stderr
    finished = run("-p", "hi", GPTOSS_CHAT_BYPASS="true")
    assert finished.returncode == 2 and "no such setting" in finished.stderr


def test_a_deny_rule_holds_even_when_all_else_is_bypassed(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[permissions]\ndeny = ["python"]\n')
    finished = run(
        "--dangerously-bypass-approvals-and-sandbox",
        *("--seed", "1", "-p", "What is 417 * 38?"),
        GPTOSS_CHAT_CONFIG=str(config),
    )
    assert "your rule deny python forbids it" in finished.stderr


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
