"""The policy on raw reasoning, as scripts meet it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gptoss_tui.agent.reasoning import LABEL, WITHHELD

QUESTION = ("-p", "What is 417 * 38?", "--seed", "1", "--tools", "none")


def test_hidden_reasoning_is_in_no_line_of_json(run: Any) -> None:
    told, hidden = (run(*QUESTION, "--json", "--reasoning", how) for how in ("folded", "hidden"))
    assert told.returncode == hidden.returncode == 0, hidden.stderr
    told, hidden = ([json.loads(line) for line in out.stdout.splitlines()] for out in (told, hidden))
    assert told[-1]["reasoning_text"]
    assert hidden[-1]["reasoning_text"] == ""
    assert hidden[-1]["output_text"] == told[-1]["output_text"]
    for completed in (told[-1], hidden[-1]):
        # The second run takes the opening of its prompt from the disk.
        del completed["usage"]["cached_tokens"]
    assert hidden[-1]["usage"] == told[-1]["usage"]
    types = [event["type"] for event in hidden]
    assert "response.reasoning_text.delta" not in types
    assert types.count("response.reasoning.progress") == len(
        [event for event in told if event["type"] == "response.reasoning_text.delta"]
    )


def test_hidden_reasoning_cannot_be_asked_for(run: Any) -> None:
    for where in ({"GPTOSS_CHAT_REASONING": "hidden"}, {}):
        options = () if where else ("--reasoning", "hidden")
        finished = run(*QUESTION, "--show-reasoning", *options, **where)
        assert (finished.returncode, finished.stdout) == (2, "")
        assert "--show-reasoning asks for what" in finished.stderr


def test_raw_reasoning_is_told_without_being_asked_for(run: Any) -> None:
    finished = run(*QUESTION, "--reasoning", "raw")
    assert finished.returncode == 0
    assert finished.stderr.startswith(f"[{LABEL}]\n")
    assert LABEL not in finished.stdout


def test_a_filter_sees_the_reasoning_first(run: Any, tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "filter.py"
    file.write_text(f"def look(text):\n    open({str(log)!r}, 'a').write(text)\n    print(text)\n")
    finished = run(*QUESTION, "--show-reasoning", "--reasoning-filter", f"{file}:look")
    assert finished.returncode == 0
    assert finished.stderr == f"[{LABEL}]\n{WITHHELD}\n"
    assert log.read_text(), "the filter saw it, and what it printed went nowhere"

    log.unlink()
    assert run(*QUESTION, "--reasoning-filter", f"{file}:look").stdout == finished.stdout
    assert not log.exists(), "reasoning that nobody sees is not judged"


def test_a_filter_that_is_not_there(run: Any, tmp_path: Path) -> None:
    finished = run(*QUESTION, "--reasoning-filter", f"{tmp_path}/nosuch.py:look")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "there is no such file with a reasoning filter" in finished.stderr
