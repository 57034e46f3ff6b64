"""How events look as text and as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import pytest

from gptoss_tui.agent.reasoning import LABEL
from gptoss_tui.events.endings import Ending
from gptoss_tui.events.events import (
    Completed,
    Created,
    Error,
    Event,
    Failed,
    Incomplete,
    OutputDelta,
    PreambleDelta,
    ReasoningDelta,
    Timings,
    ToolCall,
    ToolOutput,
    Usage,
)
from gptoss_tui.plain.show import AsText, as_json

TURN: Sequence[Event] = (
    Created("turn_1", "demo", "medium"),
    ReasoningDelta("Let me "),
    ReasoningDelta("compute."),
    PreambleDelta("I run it."),
    ToolCall("call_1", "python", "print(6 * 7)"),
    ToolOutput("call_1", "42\n", False, 0.1),
    OutputDelta("It is"),
    OutputDelta(" 42."),
    Completed("It is 42.", "Let me compute.", Usage(), Timings()),
)
EVIL = "\x1b]52;c;aGk=\x07\x9b2J\u202e"


def test_only_the_answer_reaches_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    show = AsText()
    for event in TURN:
        show(event)
    assert tuple(capsys.readouterr()) == ("It is 42.\n", "")


def test_the_rest_is_told_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    show = AsText(notes=sys.stderr, reasoning=sys.stderr)
    for event in TURN:
        show(event)
    told = f"[{LABEL}]\nLet me compute.\nI run it.\n[python] print(6 * 7)\n[output] 42\n"
    assert tuple(capsys.readouterr()) == ("It is 42.\n", told)


def test_one_stream_for_all_keeps_kinds_on_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    show = AsText(notes=sys.stdout, reasoning=sys.stdout)
    for event in (*TURN, *TURN):
        show(event)
    turn = f"[{LABEL}]\nLet me compute.\nI run it.\n[python] print(6 * 7)\n[output] 42\nIt is 42.\n"
    assert capsys.readouterr().out == turn * 2


def test_an_answer_that_ends_its_line_gets_no_empty_one(capsys: pytest.CaptureFixture[str]) -> None:
    show = AsText()
    for event in (OutputDelta("a\nb\n"), TURN[-1]):
        show(event)
    assert capsys.readouterr().out == "a\nb\n"


@pytest.mark.parametrize("show", [AsText(), as_json])
def test_failures_are_told_on_stderr(show: AsText, capsys: pytest.CaptureFixture[str]) -> None:
    show(Failed(Error("engine_error", "The memory is full.")))
    show(Incomplete(Ending.CONTEXT_FULL, "", "", Usage(), Timings()))
    show(Incomplete(Ending.INTERRUPTED, "", "", Usage(), Timings()))
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "gptoss-chat: The memory is full."
    assert "context" in told[1]
    assert len(told) == 2


def test_no_text_can_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show = AsText(sys.stderr, sys.stderr)
    for event in (
        OutputDelta(EVIL),
        ReasoningDelta(EVIL),
        PreambleDelta(EVIL),
        ToolCall("1", EVIL, EVIL),
        ToolOutput("1", EVIL, False, 0),
        Failed(Error("x", EVIL)),
    ):
        show(event)
        as_json(event)
    out, err = capsys.readouterr()
    assert not set(out + err) & set("\x1b\x07\x9b\u202e")


def test_each_json_line_is_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    for event in TURN:
        as_json(event)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [json.loads(json.dumps(event.as_json())) for event in TURN]
    assert lines[-1]["type"] == "response.completed"
