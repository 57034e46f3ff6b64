"""Events from a sink to a reader: in order, not ahead of the reader, and ended with it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.events.events import EngineLost, Event, OutputDelta
from gptoss_tui.events.stream import Sink, stream


@given(st.lists(st.booleans(), max_size=60), st.lists(st.booleans(), max_size=60))
def test_every_event_comes_once_and_in_order(pieces: list[bool], pauses: list[bool]) -> None:
    written = [OutputDelta(str(n)) if piece else EngineLost(str(n)) for n, piece in enumerate(pieces)]

    async def work(emit: Sink) -> None:
        for event, pause in zip(written, pauses + [False] * 60, strict=False):
            if pause:
                await asyncio.sleep(0)
            await emit(event)

    async def main() -> list[Event]:
        return [event async for event in stream(work)]

    assert asyncio.run(main()) == written


async def test_whoever_writes_waits_until_an_event_has_been_dealt_with() -> None:
    done: list[str] = []

    async def work(emit: Sink) -> None:
        await emit(EngineLost("1"))
        assert done == ["1"]
        await emit(EngineLost("2"))
        assert done == ["1", "2"]

    async for event in stream(work):
        assert isinstance(event, EngineLost)
        await asyncio.sleep(0)
        done.append(event.message)


async def test_what_the_work_raises_reaches_the_reader_after_the_events() -> None:
    async def work(emit: Sink) -> None:
        await emit(OutputDelta("x"))
        raise ValueError("broken")

    events: list[Event] = []
    with pytest.raises(ValueError, match="broken"):
        async for event in stream(work):
            events.append(event)
    assert events == [OutputDelta("x")]


@pytest.mark.parametrize("event", [OutputDelta("x"), EngineLost("x")])
async def test_leaving_ends_the_work_in_order(event: Event) -> None:
    ended = False

    async def work(emit: Sink) -> None:
        nonlocal ended
        try:
            await emit(event)
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ended = True

    async with aclosing(stream(work)) as events:
        await anext(events)
    assert ended


async def test_a_cancellation_while_the_work_cleans_up_is_not_lost() -> None:
    cleaned = False

    async def work(emit: Sink) -> None:
        nonlocal cleaned
        try:
            await emit(OutputDelta("x"))
        finally:
            try:
                await asyncio.sleep(3600)
            finally:
                cleaned = True

    async def read() -> None:
        async with aclosing(stream(work)) as events:
            await anext(events)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert cleaned


async def test_an_outer_sink_may_be_written_to_inside_another_stream() -> None:
    async def outer(emit: Sink) -> None:
        async def inner(emit_inside: Sink) -> None:
            await emit(OutputDelta("to the outside"))
            await emit_inside(OutputDelta("inside"))

        async for event in stream(inner):
            assert event == OutputDelta("inside")
            await emit(OutputDelta("passed on"))

    events = [event async for event in stream(outer)]
    assert events == [OutputDelta("to the outside"), OutputDelta("passed on")]
