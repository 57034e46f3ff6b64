"""Two conversations on one runtime: side by side, each closed alone, both on disk."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import tiktoken

from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.runtime import AgentError, Runtime
from gptoss_tui.agent.session import Session
from gptoss_tui.events.events import (
    Completed,
    EngineLoading,
    EngineLost,
    EngineReady,
    Event,
    Failed,
    OutputDelta,
    Resumed,
    ToolOutput,
)
from gptoss_tui.history.store import Store
from gptoss_tui.model.engine import EngineDied
from gptoss_tui.model.engine.fake import FakeEngine, Script
from gptoss_tui.permissions.question import Nobody
from gptoss_tui.tools import OpenedSource, Source


def answer(text: str) -> str:
    return f"<|channel|>final<|message|>{text}<|return|>"


ECHO = '<|channel|>commentary to=functions.echo <|constrain|>json<|message|>{"text": "x"}<|call|>'


class Pair:
    """A runtime on a scripted engine, and sessions on it."""

    def __init__(self, renderer: Renderer, engine: FakeEngine, store: Store | None = None) -> None:
        self.engine = engine
        self.runtime = Runtime(engine, renderer, model="scripted", store=store)

    def session(self, *tools: Any) -> Session:
        return Session(self.runtime, tools, Nobody())


async def play(session: Session, text: str) -> list[Event]:
    return [event async for event in session.send(text)]


async def begin(session: Session, text: str) -> asyncio.Task[list[Event]]:
    """A turn that goes on in the background, once it has begun to answer."""
    answering = asyncio.Event()

    async def run() -> list[Event]:
        events = []
        async for event in session.send(text):
            events.append(event)
            if isinstance(event, OutputDelta):
                answering.set()
        return events

    running = asyncio.create_task(run())
    await answering.wait()
    return running


def texts(session: Session) -> list[str]:
    return [message.text for message in session.conversation.messages]


@pytest.fixture
def pair(renderer: Renderer, tokenizer: tiktoken.Encoding) -> Any:
    def make(*scripts: Script, store: Store | None = None, **engine: Any) -> Pair:
        return Pair(renderer, FakeEngine(tokenizer, *scripts, **engine), store)

    return make


async def test_sessions_take_turns_and_know_nothing_of_each_other(pair: Any, tmp_path: Path) -> None:
    two = pair(*map(answer, ("one", "two", "three", "four")), store=Store(tmp_path / "s.sqlite3"))
    first, second = two.session(), two.session()
    for text, session in (("a", first), ("b", second), ("c", first), ("d", second)):
        assert isinstance((await play(session, text))[-1], Completed)
    assert texts(first) == ["a", "one", "c", "three"]
    assert texts(second) == ["b", "two", "d", "four"]
    assert "one" in two.engine.prompts[2] and "two" not in two.engine.prompts[2]
    assert "two" in two.engine.prompts[3] and "one" not in two.engine.prompts[3]
    assert two.engine.loads == 1
    names = first.id, second.id
    await two.runtime.close()

    store = Store(tmp_path / "s.sqlite3")
    for name, left in zip(names, (first, second), strict=True):
        stored = await store.read(name)
        assert stored is not None
        assert [message.text for message in stored.messages] == texts(left)
    await store.close()


async def test_closing_a_session_leaves_the_other(pair: Any, echo: Any, tmp_path: Path) -> None:
    two = pair(ECHO, answer("one"), answer("two"), answer("three"), store=Store(tmp_path / "s.sqlite3"))
    tools = echo(), echo()
    first, second = two.session(tools[0]), two.session(tools[1])
    await play(first, "a")
    await first.close()
    assert isinstance((await play(second, "b"))[-1], Completed)
    await play(second, "c")
    assert texts(second) == ["b", "two", "c", "three"]
    assert [len(tool.calls) for tool in tools] == [1, 0]
    name = first.id
    await two.runtime.close()
    store = Store(tmp_path / "s.sqlite3")
    stored = await store.read(name)
    assert stored is not None and stored.messages[-1].text == "one"
    await store.close()


async def test_turns_run_at_the_same_time_and_one_is_stopped_alone(pair: Any) -> None:
    two = pair(answer("x" * 300), answer("yes"), pause=0.001)
    first, second = two.session(), two.session()
    async for _ in first.load():
        pass
    running = await begin(first, "a")
    ending = (await play(second, "b"))[-1]
    assert isinstance(ending, Completed) and ending.output_text == "yes"
    assert first.busy
    await first.stop()
    stopped = (await running)[-1]
    assert getattr(stopped, "reason", None) == "interrupted"
    assert texts(second) == ["b", "yes"]


async def test_one_conversation_has_one_turn_at_a_time_however_many_there_are(pair: Any) -> None:
    two = pair(answer("x" * 50), answer("yes"), pause=0.001)
    first, second = two.session(), two.session()
    async with aclosing(first.send("a")) as stream:
        async for event in stream:
            if isinstance(event, OutputDelta):
                with pytest.raises(AgentError, match="still answering"):
                    await play(first, "again")
                assert isinstance((await play(second, "b"))[-1], Completed)
                break


async def test_both_survive_the_death_of_the_engine(pair: Any) -> None:
    two = pair(["<|channel|>final<|message|>o", EngineDied("killed")], answer("two"), answer("three"))
    first, second = two.session(), two.session()
    events = await play(first, "a")
    assert any(isinstance(event, EngineLost) for event in events)
    assert isinstance(events[-1], Failed)
    assert isinstance((await play(second, "b"))[-1], Completed)
    assert isinstance((await play(first, "c"))[-1], Completed)


async def test_a_successor_has_the_tools_and_none_of_the_words(pair: Any, echo: Any) -> None:
    two = pair(answer("one"), ECHO, answer("two"))
    tool = echo()
    first = two.session(tool)
    await play(first, "a")
    second = await first.successor()
    events = await play(second, "b")
    assert [event.output for event in events if isinstance(event, ToolOutput)] == ['got {"text": "x"}']
    assert texts(second)[0] == "b"
    assert two.runtime.sessions == {second}


async def stored(pair: Any, file: Path) -> str:
    """The ID of a conversation on disk."""
    one = pair(answer("one"), store=Store(file))
    session = one.session()
    await play(session, "a")
    await one.runtime.close()
    assert session.id is not None
    return str(session.id)


async def on_disk(file: Path, name: str | None) -> list[str]:
    store = Store(file)
    session = await store.read(name)
    await store.close()
    assert session is not None
    return [message.text for message in session.messages]


async def test_two_sessions_on_one_stored_conversation_are_saved_each(pair: Any, tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    name = await stored(pair, file)
    two = pair(answer("two"), store=Store(file))
    first, second = two.session(), two.session()
    await first.resume(name)
    await second.resume(name)
    await second.close()
    await play(first, "is this saved?")
    await two.runtime.close()
    assert (await on_disk(file, name))[-2:] == ["is this saved?", "two"]


async def test_a_closed_session_takes_nothing_that_would_be_lost(pair: Any, tmp_path: Path) -> None:
    two = pair(answer("one"), store=Store(tmp_path / "s.sqlite3"))
    session = two.session()
    await play(session, "a")
    await session.close()
    await session.close()
    for call in (lambda: play(session, "b"), session.resume, lambda: anext(session.load())):
        with pytest.raises(AgentError, match="closed"):
            await call()
    await two.runtime.close()
    with pytest.raises(AgentError, match="closing"):
        await play(two.session(), "c")


async def test_a_successor_is_made_during_a_turn(pair: Any, tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    two = pair(answer("x" * 300), answer("two"), store=Store(file), pause=0.001)
    first = two.session()
    running = await begin(first, "a")
    second = await first.successor()
    assert getattr((await running)[-1], "reason", None) == "interrupted"
    assert isinstance((await play(second, "b"))[-1], Completed)
    name = first.id
    await two.runtime.close()
    assert await on_disk(file, name) == texts(first)


async def test_no_conversation_is_taken_up_during_a_turn(pair: Any, tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    name = await stored(pair, file)
    two = pair(answer("two"), store=Store(file))
    session = two.session()
    async with aclosing(session.send("b")) as stream:
        async for event in stream:
            if isinstance(event, OutputDelta):
                with pytest.raises(AgentError, match="still answering"):
                    await session.resume(name)
    await two.runtime.close()
    assert await on_disk(file, session.id) == ["b", "two"]


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_a_stored_conversation_is_taken_up_by_the_first_message(
    pair: Any, tmp_path: Path, is_loaded: bool
) -> None:
    file = tmp_path / "s.sqlite3"
    name = await stored(pair, file)
    two = pair(answer("two"), store=Store(file))
    if is_loaded:
        async for _ in two.session().load():
            pass
    session = Session(two.runtime, (), Nobody(), resume=name)
    events = await play(session, "b")
    assert isinstance(events[0], Resumed) and "one" in two.engine.prompts[-1]
    await two.runtime.close()
    assert await on_disk(file, name) == ["a", "one", "b", "two"]


async def test_a_turn_begins_though_only_the_engine_was_loaded(pair: Any, checkpoint: Path) -> None:
    two = pair(answer("one"))
    async for _ in two.engine.load():
        pass
    two.runtime.renderer = Renderer(checkpoint)
    assert isinstance((await play(two.session(), "a"))[-1], Completed)
    await two.runtime.close()


async def test_closing_a_runtime_in_a_turn_loads_nothing_anew(pair: Any) -> None:
    two = pair(answer("x" * 300), pause=0.001)
    session = two.session()
    running = await begin(session, "a")
    await two.runtime.close()
    await running
    assert two.engine.loads == 1 and two.engine.info() is None


async def test_sessions_follow_one_load_each_at_its_own_pace(pair: Any) -> None:
    hold = asyncio.Event()
    two = pair(answer("one"), hold=hold)
    first, second = two.session(), two.session()
    slow, fast = first.load(), second.load()
    assert isinstance(await anext(slow), EngineLoading)
    assert isinstance(await anext(fast), EngineLoading)
    hold.set()
    assert isinstance([event async for event in fast][-1], EngineReady), "though nobody reads the other"
    assert isinstance([event async for event in slow][-1], EngineReady)
    assert two.engine.loads == 1


async def test_whoever_leaves_a_load_does_not_end_it_for_the_other(pair: Any) -> None:
    hold = asyncio.Event()
    two = pair(answer("one"), hold=hold)
    first, second = two.session(), two.session()
    async with aclosing(first.load()) as leaving, aclosing(second.load()) as staying:
        await anext(leaving)
        await anext(staying)
        await leaving.aclose()
        hold.set()
        assert isinstance([event async for event in staying][-1], EngineReady)


async def test_a_load_ends_with_a_sentence_when_the_runtime_closes(pair: Any) -> None:
    two = pair(answer("one"), hold=asyncio.Event())
    loading = two.session().load()
    await anext(loading)
    await two.runtime.close()
    with pytest.raises(AgentError, match="closing"):
        async for _ in loading:
            pass


async def test_a_session_that_is_closed_while_it_loads_opens_nothing(pair: Any, echo: Any) -> None:
    hold = asyncio.Event()
    two = pair(answer("one"), hold=hold)
    source = Counted()
    session = Session(two.runtime, (), Nobody(), sources=[source])
    other = two.session()
    running = asyncio.create_task(play(session, "a"))
    staying = other.load()
    await anext(staying)
    await session.close()
    hold.set()
    assert isinstance([event async for event in staying][-1], EngineReady)
    await running
    assert source.opened - source.closed == 0


class Counted(Source):
    """Counts how often it was opened and closed."""

    origin = "a source"

    def __init__(self) -> None:
        self.opened = self.closed = 0

    async def open(self) -> OpenedSource:
        self.opened += 1
        return OpenedSource(())

    async def close(self) -> None:
        self.closed += 1
