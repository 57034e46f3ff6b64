"""FakeEngine keeps the contract of an Engine, and does what its script says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import tiktoken

from gptoss_tui.model.engine import (
    Detail,
    EngineDied,
    EngineError,
    Finished,
    Generation,
    Item,
    PrefillProgress,
    Request,
    Sampling,
    Token,
)
from gptoss_tui.model.engine.fake import FakeEngine

ASKED = Request((7, 14, 21), Sampling())


async def items_of(generation: Generation) -> list[Item]:
    return [item async for item in generation]


def written(items: list[Item]) -> list[int]:
    return [item.id for item in items if isinstance(item, Token)]


def reason(items: list[Item]) -> str:
    end = items[-1]
    assert isinstance(end, Finished)
    return end.reason


async def some(items: AsyncIterator[Item], tokens: int) -> list[int]:
    """That many tokens of it."""
    found: list[int] = []
    while len(found) < tokens:
        found += written([await anext(items)])
    return found


async def test_a_script_is_played_up_to_a_stop_id(tokenizer: tiktoken.Encoding) -> None:
    said = tokenizer.encode("<|channel|>final<|message|>4<|return|>", allowed_special="all")
    engine = FakeEngine(tokenizer, "<|channel|>final<|message|>4<|return|> and on", said, ["4", *said[-1:]])
    request = replace(ASKED, prompt_ids=tuple(tokenizer.encode("2+2?")), stop_ids=(said[-1],))
    for expected in (said, said, [*tokenizer.encode("4"), said[-1]]):
        prefill, *tokens, end = items = await items_of(engine.generate(request))
        assert prefill == PrefillProgress(len(request.prompt_ids), len(request.prompt_ids), 0)
        assert written(tokens) == expected
        assert isinstance(end, Finished)
        assert reason(items) == "stop"
    assert engine.requests == [request] * 3
    assert engine.prompts == ["2+2?"] * 3
    with pytest.raises(IndexError, match="no script for request 4"):
        await items_of(engine.generate(request))


@pytest.mark.parametrize(
    ("sampling", "longest_answer", "context", "told"),
    [
        (Sampling(), None, 100, (8, "length")),
        (Sampling(max_tokens=5), None, 100, (5, "length")),
        (Sampling(), 5, 100, (5, "length")),
        (Sampling(max_tokens=6), 5, 100, (6, "length")),
        (Sampling(), None, 8, (5, "context")),
        (Sampling(max_tokens=5), None, 8, (5, "length")),
        (Sampling(max_tokens=6), None, 8, (5, "context")),
    ],
)
async def test_its_bounds_are_a_checkpoints(
    tokenizer: tiktoken.Encoding,
    sampling: Sampling,
    longest_answer: int | None,
    context: int,
    told: tuple[int, str],
) -> None:
    engine = FakeEngine(tokenizer, range(8), context=context, longest_answer=longest_answer)
    items = await items_of(engine.generate(replace(ASKED, sampling=sampling)))
    assert (len(written(items)), reason(items)) == told
    info = engine.info()
    assert info is not None
    assert (info.context, info.longest_answer, info.vocabulary) == (context, longest_answer, 320)


async def test_what_no_engine_can_do_is_refused(tokenizer: tiktoken.Encoding) -> None:
    engine = FakeEngine(tokenizer, "4", context=3)
    with pytest.raises(EngineError, match="3 tokens and the context holds 3"):
        await items_of(engine.generate(ASKED))
    with pytest.raises(EngineError, match="temperature"):
        await items_of(engine.generate(Request((7,), Sampling(temperature=-1))))
    assert written(await items_of(engine.generate(Request((7,), Sampling())))) == tokenizer.encode("4")


@pytest.mark.parametrize("way", ["cancel", "close", "task"])
async def test_of_several_that_are_open_one_is_ended(tokenizer: tiktoken.Encoding, way: str) -> None:
    never, go = asyncio.Event(), asyncio.Event()
    engine = FakeEngine(tokenizer, [1, 2, never], [3, go, 4], [5, go, 6])
    ended, *others = [engine.generate(ASKED) for _ in range(3)]
    stream = aiter(ended)
    assert await some(stream, 2) == [1, 2]
    streams = [aiter(other) for other in others]
    assert [await some(each, 1) for each in streams] == [[3], [5]]
    match way:
        case "cancel":
            ended.cancel()
            assert await anext(stream) == Finished("cancelled", 0.1, 0.1)
        case "close":
            await ended.aclose()
        case "task":
            reading = asyncio.ensure_future(some(stream, 1))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
    go.set()
    rest = [[item async for item in each] for each in streams]
    assert [written(items) for items in rest] == [[4], [6]]
    assert [reason(items) for items in rest] == ["length", "length"]


async def test_a_pause_and_a_load_can_be_cancelled(tokenizer: tiktoken.Encoding) -> None:
    engine = FakeEngine(tokenizer, "4", pause=1000, hold=asyncio.Event())
    loading = engine.generate(ASKED)
    reading = asyncio.ensure_future(items_of(loading))
    await asyncio.sleep(0)
    loading.cancel()
    assert await reading == [Finished("cancelled", 0.0, 0.0)]
    engine.hold = None
    pausing = engine.generate(ASKED)
    stream = aiter(pausing)
    assert isinstance(await anext(stream), PrefillProgress)
    next_ = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    pausing.cancel()
    assert await next_ == Finished("cancelled", 0.1, 0.1)


async def test_one_that_is_cancelled_before_it_begins_takes_no_script(tokenizer: tiktoken.Encoding) -> None:
    engine = FakeEngine(tokenizer, "4")
    generation = engine.generate(ASKED)
    generation.cancel()
    assert await items_of(generation) == [Finished("cancelled", 0.0, 0.0)]
    assert written(await items_of(engine.generate(ASKED))) == tokenizer.encode("4")


async def test_a_failure_ends_one_and_a_death_all_that_are_open(tokenizer: tiktoken.Encoding) -> None:
    never = asyncio.Event()
    engine = FakeEngine(
        tokenizer, [1, never], [2, EngineError("out of memory")], [3, EngineDied("killed (signal 9)")], "4"
    )
    waiting = engine.generate(ASKED)
    stream = aiter(waiting)
    await some(stream, 1)
    with pytest.raises(EngineError, match="out of memory"):
        await items_of(engine.generate(ASKED))
    assert engine.info() is not None
    with pytest.raises(EngineDied, match="signal 9"):
        await items_of(engine.generate(ASKED))
    assert engine.info() is None
    with pytest.raises(EngineDied, match="signal 9"):
        await anext(stream)
    assert written(await items_of(engine.generate(ASKED))) == tokenizer.encode("4")
    assert engine.loads == 2


async def test_closing_ends_what_is_open(tokenizer: tiktoken.Encoding) -> None:
    engine = FakeEngine(tokenizer, [1, asyncio.Event()], "not begun", "4")
    streams = [aiter(engine.generate(ASKED)) for _ in range(2)]
    await some(streams[0], 1)
    assert isinstance(await anext(streams[1]), PrefillProgress)
    await engine.close()
    assert engine.info() is None
    assert written(await items_of(engine.generate(ASKED))) == tokenizer.encode("4"), "it is loaded again"
    for stream in streams:
        with pytest.raises(EngineDied, match="closed"):
            await anext(stream)


async def test_a_load_is_held_and_fails(tokenizer: tiktoken.Encoding) -> None:
    hold = asyncio.Event()
    engine = FakeEngine(tokenizer, "4", hold=hold, load_failure=EngineError("The file is cut short."))
    loading = engine.load()
    assert (await anext(loading)).done == 1
    assert engine.info() is None
    hold.set()
    with pytest.raises(EngineError, match="cut short"):
        await anext(loading)
    assert engine.info() is None
    engine.load_failure = None
    assert [step.total async for step in engine.load()] == [4]
    assert [step async for step in engine.load()] == [], "it is loaded already"
    assert engine.loads == 1


async def test_it_tells_what_is_asked_for_and_what_it_can_do(tokenizer: tiktoken.Encoding) -> None:
    engine = FakeEngine(tokenizer, "four", "four")
    plain = await items_of(engine.generate(ASKED))
    told = await items_of(engine.generate(replace(ASKED, detail=Detail.ALTERNATIVES | Detail.EXPERTS)))
    info = engine.info()
    assert info is not None
    able = info.abilities
    assert able.token_ids and able.logprobs and able.alternatives and able.experts and able.parallel
    assert not able.constrains
    assert written(plain) == written(told) == tokenizer.encode("four")
    for token in plain:
        assert not isinstance(token, Token) or (token.alternatives, token.experts) == ((), ())
    for token in told:
        if isinstance(token, Token):
            assert (token.alternatives[0].id, token.alternatives[0].logprob) == (token.id, token.logprob)
            assert len({other.id for other in token.alternatives}) == 5
            logprobs = [other.logprob for other in token.alternatives]
            assert logprobs == sorted(logprobs, reverse=True)
            assert [len(set(layer)) for layer in token.experts] == [4] * 24


def test_it_is_free_of_torch() -> None:
    script = """
import sys
import gptoss_tui.model.engine.fake
assert not {"torch", "numpy", "tiktoken", "safetensors"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
