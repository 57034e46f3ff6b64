"""The process that renders: its death is noticed, and costs nothing."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest_asyncio

from gptoss_tui.conversation.codec import Codec
from gptoss_tui.harmony import Conversation, Message, Role

HELLO = Conversation(messages=[Message(Role.USER, "Hello there.")])


@dataclass
class Mortal:
    """A codec of the test's own, and the process behind it."""

    codec: Codec
    process: BaseProcess

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)


@pytest_asyncio.fixture
async def mortal(checkpoint: Path) -> AsyncIterator[Mortal]:
    codec, others = Codec(checkpoint), set(multiprocessing.active_children())
    await codec.start()
    (process,) = set(multiprocessing.active_children()) - others
    yield Mortal(codec, process)
    await codec.close()


async def test_a_renderer_that_died_is_started_again(mortal: Mortal) -> None:
    rendered, counted = await mortal.codec.render(HELLO), await mortal.codec.count(["a b", ""])
    mortal.kill()
    mortal.process.join()
    assert await mortal.codec.render(HELLO) == rendered
    assert await mortal.codec.count(["a b", ""]) == counted


async def test_a_counter_that_died_is_started_again(mortal: Mortal) -> None:
    counted = await mortal.codec.count(["a b", ""])
    mortal.kill()
    mortal.process.join()
    assert await mortal.codec.count(["a b", ""]) == counted


async def test_a_death_at_work_costs_nobody_who_waits(mortal: Mortal) -> None:
    rendered = await mortal.codec.render(HELLO)
    assert mortal.process.pid is not None
    os.kill(mortal.process.pid, signal.SIGSTOP)
    waiting = [asyncio.create_task(mortal.codec.render(HELLO)) for _ in range(3)]
    counting = asyncio.create_task(mortal.codec.count(["a b"]))
    await asyncio.sleep(0)  # all have asked
    mortal.kill()
    assert await asyncio.gather(*waiting) == [rendered] * 3
    assert await counting == await mortal.codec.count(["a b"])
