"""Calls on the screen: their cards, and the question whether one may run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from textual.widgets import Button

from gptoss_tui.tui.widgets.approval_prompt import ApprovalPrompt
from gptoss_tui.tui.widgets.composer import Composer
from gptoss_tui.tui.widgets.prompt import GRACE_S
from gptoss_tui.tui.widgets.tool_card import ToolCard

StageMaker = Callable[..., Any]
ToolMaker = Callable[..., Any]

ANSWER = "<|channel|>final<|message|>Done.<|return|>"


def call(arguments: str = '{"text": "x"}', recipient: str = "functions.repeat") -> str:
    return f"<|channel|>commentary to={recipient} <|constrain|>json<|message|>{arguments}<|call|>"


async def asked(s: Any) -> None:
    """Wait for the question."""
    await s.until(lambda: isinstance(s.app.focused, Button))


async def test_a_short_call_is_shown_with_its_output(stage: StageMaker, repeat: ToolMaker) -> None:
    async with stage(call(), ANSWER, tools=[repeat(output="one\ntwo")]) as s:
        await s.ready()
        await s.say("go")
        await s.until_shown("Done.")
        await s.until_shown("functions.repeat  finished")
        assert '{"text": "x"}' in s.screen and "two" in s.screen


async def test_a_long_output_folds_to_a_line_and_ctrl_o_opens_it(
    stage: StageMaker, repeat: ToolMaker
) -> None:
    output = "\n".join(f"row {number}" for number in range(3_000))
    async with stage(call(), ANSWER, tools=[repeat(output=output)], context=10**6) as s:
        await s.ready()
        await s.say("go")
        await s.until_shown('{"text": "x"} → row 0')
        assert "row 1\n" not in s.screen
        await s.until_shown("Done.")
        await s.pilot.press("ctrl+o")
        await s.until_shown("row 2999")
        card = s.app.screen.query_one(ToolCard)
        assert "more lines, which the model was given" in str(card.query_one(".output").render())
        assert card.size.height < 300
        await s.pilot.press("ctrl+o")
        await s.until(lambda: card.size.height == 1)


async def test_a_failed_call_stays_open(stage: StageMaker, repeat: ToolMaker) -> None:
    output = "\n".join(f"row {number}" for number in range(30))
    async with stage(call(), ANSWER, tools=[repeat(output=output, is_error=True)], size=(100, 50)) as s:
        await s.ready()
        await s.say("go")
        await s.until_shown("Done.")
        assert "× functions.repeat  failed" in s.screen
        assert "row 29" in s.screen


async def test_no_key_counts_at_first(
    stage: StageMaker, repeat: ToolMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than in life, so that a busy machine cannot make these keys late.
    monkeypatch.setattr("gptoss_tui.tui.widgets.prompt.GRACE_S", 3.0)
    tool = repeat(must_ask=True)
    async with stage(call(), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        await s.pilot.press("y", "a", "enter")
        assert s.app.screen.query(ApprovalPrompt)
        await s.until_shown("Run this call? It runs on this machine, unconfined.")
        assert "waiting for your approval" in s.screen
        assert tool.calls == []
        await asyncio.sleep(3.1)
        await s.pilot.press("y")
        await s.until_shown("Done.")
        assert tool.calls == ['{"text": "x"}']
        assert isinstance(s.app.screen.focused, Composer)


@pytest.mark.parametrize("key", ["n", "enter"])
async def test_no_is_the_default_and_the_turn_goes_on(stage: StageMaker, repeat: ToolMaker, key: str) -> None:
    tool = repeat(must_ask=True)
    async with stage(call(), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        await asyncio.sleep(GRACE_S + 0.1)
        await s.pilot.press(key)
        await s.until_shown("Done.")
        assert tool.calls == []
        assert "failed" in s.screen


async def test_yes_for_the_session_is_not_asked_again(stage: StageMaker, repeat: ToolMaker) -> None:
    tool = repeat(must_ask=True)
    async with stage(call(), call(), ANSWER, call(), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        await asyncio.sleep(GRACE_S + 0.1)
        await s.pilot.press("right", "right", "enter")
        await s.until_shown("Done.")
        await s.ready()
        await s.say("again")
        await s.until(lambda: len(tool.calls) == 3)
        await s.ready()


async def test_the_whole_call_is_shown_with_nothing_hidden(stage: StageMaker, repeat: ToolMaker) -> None:
    rows = "\\n".join(f"row {number}" for number in range(8))
    hidden = '{"text": "rm\u200b \u202e\x1b[8m' + rows + '"}'
    async with stage(call(hidden), ANSWER, tools=[repeat(must_ask=True)]) as s:
        await s.ready()
        await s.pilot.press("ctrl+o", "ctrl+o")
        await s.say("go")
        await asked(s)
        await s.until_shown("rm\ufffd \ufffd␛[8m")
        assert "row 7" in s.screen
        await s.pilot.press("tab", "tab", "tab")
        await s.pilot.press("ctrl+c", "ctrl+c")
        await s.ready()


async def test_stopping_answers_the_question(stage: StageMaker, repeat: ToolMaker) -> None:
    tool = repeat(must_ask=True)
    async with stage(call(), ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("go")
        await asked(s)
        s.app.screen.query_one(Composer).focus()
        await s.app.screen._player.stop()
        await s.until_shown("Stopped.")
        await s.ready()
        assert not s.app.screen.query(ApprovalPrompt)
        assert tool.calls == []
