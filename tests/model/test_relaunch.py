"""What real workers do not read again: openings after one was killed, and prompts that were read ahead."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from gptoss_tui.model.engine import (
    EngineDied,
    EngineError,
    Finished,
    PrefillProgress,
    Request,
    Sampling,
    Token,
)
from gptoss_tui.model.engine.local import LocalEngine
from gptoss_tui.model.engine.prefix import FIRST_MILESTONE

Until = Callable[[Callable[[], object]], Awaitable[None]]
Engines = Callable[..., LocalEngine]
Heard = tuple[list[tuple[int, float]], int]

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENING = 1008  # tokens, a multiple of every backend's block


def ids(length: int, seed: int) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(320), k=length))


PROMPT = ids(OPENING, 1) + ids(40, 2)
LONG = ids(6000, 3)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    return tiny_checkpoint(folder, num_hidden_layers=2, max_position_embeddings=100_000)


@pytest_asyncio.fixture(loop_scope="module")
async def start(checkpoint: Path, tmp_path: Path) -> AsyncIterator[Engines]:
    """`start(**options)`: a new engine, as of another launch; its log is `engine.log` of this test."""
    engines = []

    def make(**options: object) -> LocalEngine:
        engine = LocalEngine(
            checkpoint,
            name="tiny",
            threads=1,
            log=tmp_path / "engine.log",
            **options,  # type: ignore[arg-type]
        )
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        await engine.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(checkpoint: Path) -> AsyncIterator[LocalEngine]:
    """One engine, loaded, for the tests of reading ahead, each with prompts of its own."""
    engine = LocalEngine(checkpoint, name="tiny", threads=1, log=checkpoint / "engine.log")
    await answer(engine, (1, 2, 3))
    yield engine
    await engine.close()


async def answer(engine: LocalEngine, prompt: tuple[int, ...] = PROMPT, opening: int = 0) -> Heard:
    """The tokens with their probabilities, and how much of the prompt was not read again."""
    request = Request(prompt, Sampling(temperature=0, max_tokens=6), opening=opening)
    items = [item async for item in engine.generate(request)]
    first = items[0]
    assert isinstance(first, PrefillProgress)
    return [(item.id, item.logprob) for item in items if isinstance(item, Token)], first.cached


def kill(engine: LocalEngine) -> None:
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)


def log_of(folder: Path) -> str:
    """What is logged, but for the line of a machine without native kernels."""
    lines = (folder / "engine.log").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if "Plain PyTorch computes instead" not in line)


async def test_a_killed_worker_goes_on_from_disk(start: Engines, tmp_path: Path, until: Until) -> None:
    plain = await answer(start(), opening=OPENING)
    folder = tmp_path / "snapshots"
    first = start(snapshots=folder)
    assert await answer(first, opening=OPENING) == plain
    await until(lambda: list(folder.glob("*.snapshot")))
    kill(first)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    second = start(snapshots=folder)
    assert await answer(second, opening=OPENING) == (plain[0], OPENING)
    assert log_of(tmp_path) == ""


async def test_what_is_closed_at_once_has_written_it(start: Engines, tmp_path: Path) -> None:
    """As with one question: there is no time between the answer and the end."""
    folder = tmp_path / "snapshots"
    first = start(snapshots=folder)
    expected = await answer(first, opening=OPENING)
    await first.close()
    assert len(list(folder.glob("*.snapshot"))) == 1
    assert await answer(start(snapshots=folder), opening=OPENING) == (expected[0], OPENING)


async def test_without_a_folder_nothing_is_kept(start: Engines, tmp_path: Path) -> None:
    engine = start()
    await answer(engine, opening=OPENING)
    await engine.close()
    assert [path.name for path in tmp_path.iterdir()] == ["engine.log"]


async def test_a_damaged_file_costs_a_line_in_the_log(start: Engines, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    first = start(snapshots=folder)
    expected = await answer(first, opening=OPENING)
    await first.close()
    (file,) = folder.glob("*.snapshot")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    second = start(snapshots=folder)
    assert await answer(second, opening=OPENING) == expected
    assert log_of(tmp_path) == f"{file}: damaged; removed, and its tokens are read again\n"
    await second.close()
    assert await answer(start(snapshots=folder), opening=OPENING) == (expected[0], OPENING)


async def test_a_disk_that_takes_no_more_costs_a_line_in_the_log(
    start: Engines, tmp_path: Path, until: Until
) -> None:
    engine = start(snapshots=tmp_path / "snapshots")
    await answer(engine, (1, 2, 3))
    assert engine.pid is not None
    resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    expected = await answer(engine, opening=OPENING)
    await until(lambda: log_of(tmp_path))
    tokens, cached = await answer(engine, opening=OPENING)
    await engine.close()
    assert cached == len(PROMPT) - 1
    assert [token for token, _ in tokens] == [token for token, _ in expected[0]]
    assert log_of(tmp_path) == f"{tmp_path / 'snapshots'}: no snapshots are written (File too large)\n"
    assert list((tmp_path / "snapshots").iterdir()) == []


async def test_what_was_read_ahead_is_not_read_again(engine: LocalEngine) -> None:
    known, words = ids(700, 10), ids(20, 11)
    expected, cached = await answer(engine, known + words)
    assert cached == 0
    await answer(engine, ids(300, 12))
    await engine.read_ahead(known)
    tokens, cached = await answer(engine, known + words)
    assert cached == len(known)
    assert [token for token, _ in tokens] == [token for token, _ in expected]
    assert [logprob for _, logprob in tokens] == pytest.approx([logprob for _, logprob in expected], abs=1e-4)


async def test_a_request_ends_it(engine: LocalEngine) -> None:
    expected = await answer(engine, ids(50, 20))
    reading = asyncio.create_task(engine.read_ahead(LONG))
    await asyncio.sleep(0)  # it is asked for
    assert await answer(engine, ids(50, 20)) == (expected[0], 0)
    await reading
    assert (await answer(engine, LONG))[1] == 0, "it was given up"


async def test_a_request_that_goes_on_from_it_takes_what_there_is(engine: LocalEngine) -> None:
    prompt = LONG[:900] + ids(30, 30)
    expected = await answer(engine, prompt)
    await answer(engine, ids(50, 31))
    reading = asyncio.create_task(engine.read_ahead(LONG[:900]))
    await asyncio.sleep(0)
    tokens, cached = await answer(engine, prompt)
    assert [token for token, _ in tokens] == [token for token, _ in expected[0]]
    assert cached in (0, FIRST_MILESTONE, 900), "a whole number of chunks"
    await reading


async def test_leaving_it_ends_it(engine: LocalEngine) -> None:
    reading = asyncio.create_task(engine.read_ahead(LONG))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await answer(engine, LONG + ids(9, 1)))[1] < len(LONG)
    await engine.read_ahead(ids(300, 41))
    assert (await answer(engine, ids(300, 41) + ids(9, 42)))[1] == 300


async def test_it_does_not_begin_beside_a_generation(engine: LocalEngine) -> None:
    generation = engine.generate(Request(ids(50, 50), Sampling(temperature=0)))
    async for item in generation:
        if isinstance(item, Token):
            await engine.read_ahead(LONG)  # would end with the generation at the earliest
            generation.cancel()
    assert isinstance(item, Finished)
    assert (await answer(engine, LONG[:300]))[1] == 0


async def test_it_reads_so_much_and_no_more(engine: LocalEngine) -> None:
    await engine.read_ahead(ids(20_000, 60))
    cached = (await answer(engine, ids(20_000, 60)[:9000]))[1]
    assert cached == 8192


async def test_a_prompt_that_cannot_be_read(engine: LocalEngine) -> None:
    for prompt, complaint in (((320,), "outside 0 to 319"), ((), "empty"), (ids(100_000, 0), "context")):
        with pytest.raises(EngineError, match=complaint):
            await engine.read_ahead(prompt)
    assert len((await answer(engine, ids(50, 70)))[0]) == 6


async def test_it_starts_nothing_and_survives_the_end(start: Engines) -> None:
    engine = start()
    await engine.read_ahead(LONG)
    assert engine.pid is None
    expected = await answer(engine, ids(50, 80))
    reading = asyncio.create_task(engine.read_ahead(LONG))
    await asyncio.sleep(0)
    kill(engine)
    with pytest.raises(EngineDied):
        await reading
    assert await answer(engine, ids(50, 80)) == expected
    reading = asyncio.create_task(engine.read_ahead(LONG))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(EngineDied, match="closed"):
        await reading
    await engine.read_ahead(LONG)
    assert engine.pid is None
