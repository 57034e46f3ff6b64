"""What fails becomes a sentence on the screen, and the chat goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.runtime import AgentError
from gptoss_tui.agent.session import Session
from gptoss_tui.harmony import Effort
from gptoss_tui.model.engine import EngineDied, EngineError, Generation, Item, Loading, Token
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
    async with stage(ANSWER, hold=hold) as s:
        load = s.engine.load

        async def fail() -> AsyncIterator[Loading]:
            yield Loading("reading", 1, 2)
            await hold.wait()
            raise EngineError("model.safetensors\x1b[2J is cut short; copy it again.")

        s.engine.load = fail
        await s.pilot.press("h", "i")
        hold.set()
        await s.until_shown("model.safetensors␛[2J is cut short; copy it again.")
        await s.until_shown("● no model")
        s.engine.load = load
        await s.pilot.press("enter")
        await s.until_shown("Hello there.")


async def test_the_death_of_the_engine_is_told_and_survived(stage: Any) -> None:
    async with stage(ANSWER, ANSWER) as s:
        await s.ready()
        generate = s.engine.generate

        async def die(*arguments: Any) -> AsyncGenerator[Item, None]:
            s.engine.generate = generate
            for token in s.engine.tokenizer.encode("<|channel|>final<|message|>So", allowed_special="all"):
                yield Token(token, 0.0)
            raise EngineDied("The engine was killed (signal 9).")

        s.engine.generate = lambda request: Generation(die)
        await s.say("hi")
        await s.until_shown("The engine was killed (signal 9).")
        await s.ready()
        await s.say("again")
        await s.until_shown("Hello there.")


async def test_a_mistake_of_ours_does_not_end_the_chat(stage: Any) -> None:
    async with stage(ANSWER) as s:
        await s.ready()
        generate = s.engine.generate

        async def stumble(*arguments: Any) -> AsyncGenerator[Item, None]:
            s.engine.generate = generate
            raise ZeroDivisionError("[red]oops")
            yield

        s.engine.generate = lambda request: Generation(stumble)
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
