"""A full context ends no conversation of the installed command."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

QUESTIONS = ("Hello!", "What is 17 * 23?", "My name is Anna.", "What is my name?", "I live in Berlin.")
SMALL = ("--seed", "1", "--context", "700")


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """Conversations of this test alone."""
    return {"XDG_DATA_HOME": str(tmp_path / "data")}


def stored(own: Mapping[str, str]) -> list[str]:
    """The texts of all messages on disk, in the order in which they came."""
    with sqlite3.connect(Path(own["XDG_DATA_HOME"]) / "gptoss-chat" / "sessions.sqlite3") as database:
        return [bytes(text).decode() for (text,) in database.execute("select text from message order by id")]


@pytest.mark.usefixtures("sandbox")
def test_thirty_turns_go_through_a_small_context(run: Run, own: dict[str, str], sandbox_notice: str) -> None:
    said = [QUESTIONS[turn % len(QUESTIONS)] for turn in range(30)]
    done = run("--plain", *SMALL, stdin="\n".join([*said, "/context"]), **own)
    assert done.returncode == 0
    assert done.stderr == sandbox_notice
    assert done.stdout.count("[output] 391") == 6
    assert done.stdout.count("[context] Of what the model is shown, ") >= 2
    assert "This model sums up poorly" in done.stdout
    assert done.stdout.count("Your name is Anna.") >= 5
    assert " of 700 tokens" in done.stdout
    assert [text for text in stored(own) if text in QUESTIONS] == said, "the history is whole"


def test_a_message_that_cannot_fit_is_refused_and_the_conversation_goes_on(
    run: Run, own: dict[str, str]
) -> None:
    small = (*SMALL, "--tools", "none")
    assert run("-p", "My name is Anna.", *small, **own).returncode == 0
    before = stored(own)
    huge = "word and some more words\n" * 3000
    refused = run("--continue", "-p", "What is this?", *small, stdin=huge, **own)
    assert (refused.returncode, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("gptoss-chat: This message was not sent: it has ") and "700" in line
    assert stored(own) == before, "nothing of it is kept"
    after = run("--continue", "-p", "What is my name?", *small, **own)
    assert (after.returncode, after.stdout) == (0, "Your name is Anna.\n")


def test_what_is_left_out_is_told_on_stderr_and_in_json(run: Run, own: dict[str, str]) -> None:
    said = [QUESTIONS[turn % len(QUESTIONS)] for turn in range(12)]
    tools = ("--tools", "none", "--context", "500", "--seed", "1")
    run("--plain", *tools, "--context", "20000", stdin="\n".join(said), **own)
    done = run("--continue", "-p", "Hello!", "--json", *tools, **own)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (cut,) = [event for event in events if event["type"] == "context.cut"]
    assert cut["turns"][0] == said[0] and cut["after"] < cut["before"] and cut["context"] == 500
    assert events[-1]["type"] == "response.completed"


@pytest.mark.parametrize("turns", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_the_screen_goes_through_a_small_context(terminal: Any, own: dict[str, str], turns: int) -> None:
    chat = terminal("--tools", "none", "--seed", "1", "--context", "400", **own)
    chat.wait_for("ready")
    for turn in range(turns):
        chat.child.send(f"{QUESTIONS[turn % 5]} ({turn})\r")
        chat.wait_for(rf"\({turn}\)[\s\S]*effort medium ·[\s\S]*● ready")
    chat.child.send("/context\r")
    chat.wait_for(r"\d+ of 400 tokens[\s\S]*earlier messages are not shown")
    chat.child.send("/quit\r")
    assert chat.leave() == 0
    assert sum(text.endswith(f"({turn})") for turn in range(turns) for text in stored(own)) == turns
