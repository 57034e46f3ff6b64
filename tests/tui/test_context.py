"""On the screen a full context is seen, asked about, undone; a refused message stays in the composer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from gptoss_tui.tui.widgets.composer import Composer
from gptoss_tui.tui.widgets.context_card import ContextCard
from gptoss_tui.tui.widgets.make_room_prompt import MakeRoomPrompt
from gptoss_tui.tui.widgets.prompt import GRACE_S
from gptoss_tui.tui.widgets.user_message import UserMessage

StageMaker = Callable[..., AbstractAsyncContextManager[Any]]

ANSWER = "<|channel|>final<|message|>four<|return|>"
SUMMARY = "They counted to four.<|return|>"
LONG = "a b " * 90


async def fill(s: Any, turns: int = 3) -> None:
    await s.ready()
    for count in range(turns):
        s.engine.scripts.append(ANSWER)
        await s.say(f"{count} {LONG}")
        await s.until(lambda: s.screen.count("effort medium ·") and not s.engine.scripts)
        await s.ready()


async def test_a_message_that_cannot_fit_comes_back_into_the_composer(stage: StageMaker) -> None:
    async with stage(ANSWER, context=700) as s:
        await s.ready()
        huge = "word " * 900
        await s.say(huge)
        await s.until_shown("This message was not sent")
        composer = s.app.screen.query_one(Composer)
        await s.until(lambda: composer.text == huge)
        assert not s.app.screen.query(UserMessage), "it is in no conversation"
        composer.replace_text("short")
        await s.pilot.press("enter")
        await s.until_shown("four")


async def test_what_is_left_out_is_a_card_that_opens(stage: StageMaker) -> None:
    async with stage(context=1200, context_full="drop", size=(120, 50)) as s:
        await fill(s, 2)
        s.engine.scripts.append(ANSWER)
        await s.say(LONG)
        await s.until_shown("left out:")
        card = s.app.screen.query_one(ContextCard)
        assert not card.is_open
        await s.ready()
        await s.pilot.press("ctrl+o")
        await s.until_shown("/uncompact takes this back")
        assert "› 0 a b a b" in s.screen
        await s.say("/uncompact")
        await s.until_shown("more again")


@pytest.mark.parametrize("choice", ["c", "l", "escape"])
async def test_the_person_is_asked_what_becomes_of_the_oldest_turns(stage: StageMaker, choice: str) -> None:
    async with stage(context=1200, context_full="ask", size=(120, 50)) as s:
        await fill(s, 2)
        s.engine.scripts += {"c": [SUMMARY, ANSWER], "l": [ANSWER], "escape": []}[choice]
        await s.say(LONG)
        await s.until_shown("its oldest turns, in what the model is shown?")
        assert s.app.screen.query(MakeRoomPrompt)
        await s.pilot.pause(GRACE_S + 0.2)
        await s.pilot.press(choice)
        await s.until_shown(
            {"c": "summed up", "l": "left out:", "escape": "your next message makes room"}[choice]
        )
        await s.ready()


async def test_a_summary_on_demand_and_what_fills_the_context(stage: StageMaker) -> None:
    async with stage(size=(120, 50)) as s:
        await fill(s, 2)
        s.engine.scripts.append(SUMMARY)
        await s.say("/compact keep numbers")
        await s.until_shown("They counted to four.")
        assert "summed up 2 earlier turns" in s.screen
        await s.say("/context")
        await s.until_shown("The next prompt begins with")
        assert "summary" in s.screen and "kept free for an answer" in s.screen
