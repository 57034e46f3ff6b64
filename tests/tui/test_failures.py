"""What fails becomes a sentence on the screen, and the chat goes on."""

from __future__ import annotations

import asyncio
from typing import Any

from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.runtime import AgentError
from gptoss_tui.agent.session import Session
from gptoss_tui.harmony import Effort
from gptoss_tui.model.engine import EngineDied, EngineError
from gptoss_tui.permissions.question import Person
from gptoss_tui.tui.app import ChatApp

ANSWER = "<|channel|>final<|message|>Hello there.<|return|>"


async def test_the_application_ends_with_the_reason_when_there_is_no_model(checkpoint: Any) -> None:
    def refuse(person: Person) -> Session:
        raise AgentError("There is no checkpoint in /nowhere\x1b[2J; give another folder.")

    app = ChatApp(refuse, model="/nowhere", effort=Effort.LOW)
    async with app.run_test(size=(100, 20)) as pilot:
        async with asyncio.timeout(60):
            while app.is_running:
                await pilot.pause(0.02)
    assert app.return_value == "There is no checkpoint in /nowhere\x1b[2J; give another folder."
    assert app.return_code == 1


async def test_without_a_model_nothing_typed_is_lost(stage: Any) -> None:
    hold = asyncio.Event()
    cut_short = EngineError("model.safetensors\x1b[2J is cut short; copy it again.")
    async with stage(ANSWER, hold=hold, load_failure=cut_short) as s:
        await s.pilot.press("h", "i")
        hold.set()
        await s.until_shown("model.safetensors␛[2J is cut short; copy it again.")
        await s.until_shown("● no model")
        s.engine.load_failure = None
        await s.pilot.press("enter")
        await s.until_shown("Hello there.")


async def test_the_death_of_the_engine_is_told_and_survived(stage: Any) -> None:
    dying = ["<|channel|>final<|message|>So", EngineDied("The engine was killed (signal 9).")]
    async with stage(dying, ANSWER) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("The engine was killed (signal 9).")
        await s.ready()
        await s.say("again")
        await s.until_shown("Hello there.")


async def test_a_mistake_of_ours_does_not_end_the_chat(stage: Any) -> None:
    async with stage([ZeroDivisionError("[red]oops")], ANSWER) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("ZeroDivisionError: [red]oops")
        await s.ready()
        await s.say("again")
        await s.until_shown("Hello there.")


async def test_leaving_closes_the_engine(stage: Any, renderer: Renderer) -> None:
    async with stage(ANSWER) as s:
        await s.ready()
        assert s.engine.info() is not None
    assert s.engine.info() is None


async def test_a_first_message_is_sent_as_soon_as_possible(stage: Any) -> None:
    async with stage(ANSWER, first_message="hi") as s:
        await s.until_shown("Hello there.")
        assert "▌ hi" in s.screen
