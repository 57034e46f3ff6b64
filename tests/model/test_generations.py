"""Several generations open at once on one local engine: each is told, cancelled and left alone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from gptoss_tui.model.engine import (
    Abilities,
    Detail,
    EngineDied,
    Finished,
    Generation,
    Item,
    Request,
    Sampling,
    Token,
)
from gptoss_tui.model.engine.local import LocalEngine

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDLESS = Request((7, 14, 21), Sampling(temperature=0))
SHORT = [Request((n, n + 1, n + 2), Sampling(temperature=1.5, seed=n, max_tokens=12)) for n in (30, 60, 90)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(
    tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LocalEngine]:
    """An engine that, unless it is stopped, writes for longer than any test may take."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_checkpoint(folder, num_hidden_layers=2, max_position_embeddings=1_000_000)
    engine = LocalEngine(folder, name="tiny", threads=1, log=folder / "engine.log")
    yield engine
    await engine.close()


async def items_of(generation: Generation) -> list[Item]:
    return [item async for item in generation]


def written(items: list[Item]) -> list[int]:
    return [item.id for item in items if isinstance(item, Token)]


async def alone(engine: LocalEngine, request: Request) -> list[int]:
    return written(await items_of(engine.generate(request)))


async def some(items: AsyncIterator[Item], tokens: int) -> list[int]:
    """That many tokens of it."""
    found: list[int] = []
    while len(found) < tokens:
        found += written([await anext(items)])
    return found


async def test_those_that_wait_are_loaded_for_once(engine: LocalEngine) -> None:
    together = await asyncio.gather(*(items_of(engine.generate(request)) for request in SHORT))
    assert [written(items) for items in together] == [await alone(engine, request) for request in SHORT]


async def test_each_is_told_its_own_however_they_are_read(engine: LocalEngine) -> None:
    expected = [await alone(engine, request) for request in SHORT]
    streams = [aiter(engine.generate(request)) for request in SHORT]
    told: list[list[Item]] = [[], [], []]
    while not all(items and isinstance(items[-1], Finished) for items in told):
        for stream, items in zip(streams, told, strict=True):
            if not items or not isinstance(items[-1], Finished):
                items.append(await anext(stream))
    assert [written(items) for items in told] == expected


async def test_cancelling_the_one_that_waits(engine: LocalEngine) -> None:
    running, waiting, last = engine.generate(ENDLESS), engine.generate(SHORT[0]), engine.generate(SHORT[1])
    stream = aiter(running)
    begin = await some(stream, 1)
    reading, reading_last = asyncio.create_task(items_of(waiting)), asyncio.create_task(items_of(last))
    begin += await some(stream, 20)
    waiting.cancel()
    assert await reading == [Finished("cancelled", 0.0, 0.0)]
    begin += await some(stream, 20)
    assert not reading_last.done()
    running.cancel()
    end = (await items_of(running))[-1]
    assert isinstance(end, Finished)
    assert end.reason == "cancelled"
    assert written(await reading_last) == await alone(engine, SHORT[1])
    bounded = Request(ENDLESS.prompt_ids, Sampling(temperature=0, max_tokens=len(begin)))
    assert begin == await alone(engine, bounded)


@pytest.mark.parametrize("way", ["cancel", "close", "task"])
async def test_ending_the_one_that_runs(engine: LocalEngine, way: str) -> None:
    expected = await alone(engine, SHORT[2])
    running = engine.generate(ENDLESS)
    begun = asyncio.Event()

    async def read() -> list[Item]:
        items = []
        async for item in running:
            items.append(item)
            if isinstance(item, Token):
                begun.set()
                if way == "close":
                    break
        return items

    task = asyncio.create_task(read())
    await begun.wait()
    waiting = asyncio.create_task(items_of(engine.generate(SHORT[2])))
    match way:
        case "cancel":
            running.cancel()
            end = (await task)[-1]
            assert isinstance(end, Finished)
            assert end.reason == "cancelled"
            assert end.prefill_s > 0 < end.decode_s
        case "close":
            await task
            await running.aclose()
        case "task":
            task.cancel()
    assert written(await waiting) == expected


async def test_one_that_is_cancelled_before_it_begins(engine: LocalEngine) -> None:
    generation = engine.generate(ENDLESS)
    generation.cancel()
    assert await items_of(generation) == [Finished("cancelled", 0.0, 0.0)]


async def test_what_it_can_do_is_told_and_done(engine: LocalEngine) -> None:
    async for _ in engine.load():
        pass
    info = engine.info()
    assert info is not None
    assert info.abilities == Abilities(
        constrains=True,
        token_ids=True,
        logprobs=True,
        alternatives=True,
        experts=True,
        parallel=False,
        reads_ahead=True,
    )
    everything = replace(SHORT[0], detail=Detail.ALTERNATIVES | Detail.EXPERTS)
    tokens = [item for item in await items_of(engine.generate(everything)) if isinstance(item, Token)]
    assert [token.id for token in tokens] == await alone(engine, SHORT[0])
    for token in tokens:
        assert [type(one) for one in token.alternatives] == [Token] * 5
        assert [len(layer) for layer in token.experts] == [2, 2]
        assert all(isinstance(layer, tuple) for layer in (token.experts, *token.experts))
        assert {expert for layer in token.experts for expert in layer} <= set(range(4))


async def test_a_death_is_told_to_all_that_are_open(engine: LocalEngine) -> None:
    expected = [await alone(engine, request) for request in SHORT]
    stream = aiter(engine.generate(ENDLESS))
    await some(stream, 1)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)  # so that none is answered before all are open
    waiting = [asyncio.create_task(items_of(engine.generate(request))) for request in SHORT]
    for _ in range(10):
        await asyncio.sleep(0)
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(EngineDied, match="signal 9"):
        await some(stream, 1_000_000)
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [EngineDied] * 3
    together = await asyncio.gather(*(items_of(engine.generate(request)) for request in SHORT))
    assert [written(items) for items in together] == expected
