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
from gptoss_tui.events.events import Completed, EngineLost, Event, Failed, OutputDelta, ToolOutput
from gptoss_tui.history.store import Store
from gptoss_tui.model.engine import EngineDied
from gptoss_tui.model.engine.fake import FakeEngine, Script
from gptoss_tui.permissions.question import Nobody


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
    begun = asyncio.Event()

    async def run() -> list[Event]:
        events = []
        async with aclosing(first.send("a")) as stream:
            async for event in stream:
                events.append(event)
                if isinstance(event, OutputDelta):
                    begun.set()
        return events

    running = asyncio.create_task(run())
    await begun.wait()
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
