"""The process that renders: its death is noticed, and costs nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.harmony import Conversation, Message, Role

HELLO = Conversation(messages=[Message(Role.USER, "Hello there.")])


@pytest_asyncio.fixture
async def mortal(checkpoint: Path) -> AsyncIterator[Renderer]:
    """A renderer of the test's own."""
    renderer = Renderer(checkpoint)
    await renderer.start()
    yield renderer
    await renderer.close()


def send(renderer: Renderer, number: signal.Signals) -> None:
    assert renderer.pid is not None
    os.kill(renderer.pid, number)


async def test_a_renderer_that_died_is_started_again(mortal: Renderer) -> None:
    rendered, counted = await mortal.render(HELLO), await mortal.count(["a b", ""])
    send(mortal, signal.SIGKILL)
    assert await mortal.render(HELLO) == rendered
    assert await mortal.count(["a b", ""]) == counted


async def test_a_counter_that_died_is_started_again(mortal: Renderer) -> None:
    counted = await mortal.count(["a b", ""])
    send(mortal, signal.SIGKILL)
    assert await mortal.count(["a b", ""]) == counted


async def test_a_death_at_work_costs_nobody_who_waits(mortal: Renderer) -> None:
    rendered = await mortal.render(HELLO)
    send(mortal, signal.SIGSTOP)
    waiting = [asyncio.create_task(mortal.render(HELLO)) for _ in range(3)]
    counting = asyncio.create_task(mortal.count(["a b"]))
    await asyncio.sleep(0)  # all requests are sent
    send(mortal, signal.SIGKILL)
    assert await asyncio.gather(*waiting) == [rendered] * 3
    assert await counting == await mortal.count(["a b"])
