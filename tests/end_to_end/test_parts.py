"""Parts of the program killed at any moment of a turn: one line names the part, and the next turn works."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.agent.session import Session
from gptoss_tui.assemble.assemble import open_session
from gptoss_tui.events import events
from gptoss_tui.harmony.message import Role
from gptoss_tui.permissions.question import Approval, GoOn, MakeRoom, Person
from gptoss_tui.settings import read_settings

PARTS = {
    "engine": (b"gptoss_tui.model.engine.worker", "engine"),
    "renderer": (b"gptoss_tui.agent.rendering", "token"),
    "kernel": (b"ipykernel", "kernel"),
}
"""What the command line of each part has in it, and a word of the line that names it."""

QUESTION = "What is 17 * 23?"
OUTCOMES = events.Completed | events.Incomplete | events.Failed


Family = Callable[[int], list[int]]


@asynccontextmanager
async def opened(person: Person) -> AsyncIterator[Session]:
    settings = read_settings({"tools": "python", "seed": "1"}, os.environ)
    session = open_session(settings, person)
    try:
        async for _ in session.load():
            pass
        yield session
    finally:
        await session.runtime.close()


async def turn(session: Session, text: str, strike: Callable[[int], None] = lambda _: None) -> list[Any]:
    """The events of a turn; `strike` is called with the number of each."""
    seen: list[Any] = []
    async with aclosing(session.send(text)) as stream:
        async for event in stream:
            seen.append(event)
            strike(len(seen))
    return seen


async def killed_at(
    part: str, instants: int, chance: random.Random, somebody: Callable[..., Person], family: Family
) -> None:
    mark, word = PARTS[part]
    willing = somebody(Approval.ONCE, go_on=GoOn.CONTINUE, make_room=MakeRoom.DROP)
    async with opened(willing) as session:
        usual = await turn(session, QUESTION)
        assert any(isinstance(event, events.ToolOutput) for event in usual)
        for _ in range(instants):
            moment = chance.randrange(1, len(usual) + 1)

            def strike(count: int, moment: int = moment) -> None:
                _, *started = family(os.getpid()) if count == moment else (0,)
                for process in started:
                    with suppress(OSError):
                        if mark in Path(f"/proc/{process}/cmdline").read_bytes():
                            os.kill(process, signal.SIGKILL)

            struck = await turn(session, QUESTION, strike)
            assert sum(isinstance(event, OUTCOMES) for event in struck) == 1
            assert isinstance(struck[-1], OUTCOMES)
            if isinstance(struck[-1], events.Failed):
                assert word in struck[-1].error.message
            after = await turn(session, "Hello!")
            assert isinstance(after[-1], events.Completed), after[-1]
            calls = [m for m in session.conversation.messages if m.role is Role.ASSISTANT and m.recipient]
            results = [m for m in session.conversation.messages if m.role is Role.TOOL]
            assert len(calls) == len(results)


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("part", PARTS)
async def test_a_part_that_dies_costs_no_more_than_the_turn(
    part: str, somebody: Callable[..., Person], family: Family
) -> None:
    await killed_at(part, 2, random.Random(part), somebody, family)


@pytest.mark.slow
@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("part", PARTS)
async def test_a_part_may_die_at_any_moment(
    part: str, somebody: Callable[..., Person], family: Family
) -> None:
    await killed_at(part, 100, random.Random(), somebody, family)
