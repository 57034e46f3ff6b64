"""Between turns the engine reads what the next prompt is known to begin with, unseen and never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.agent.context import known_ids, opening
from gptoss_tui.agent.options import Options
from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.runtime import Runtime
from gptoss_tui.agent.session import Session
from gptoss_tui.events.events import (
    Completed,
    Event,
    Incomplete,
    OutputDelta,
    Prefill,
    ReasoningDelta,
    Repaired,
)
from gptoss_tui.harmony import render
from gptoss_tui.harmony.message import Channel, Conversation, DeveloperPrompt, Effort, Message, Role
from gptoss_tui.harmony.vocabulary import ControlTokens
from gptoss_tui.history.store import Store
from gptoss_tui.model.engine import Sampling
from gptoss_tui.model.engine.fake import ABLE, FakeEngine
from gptoss_tui.model.engine.local import LocalEngine
from gptoss_tui.permissions.question import Nobody

THOUGHT = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>"
CALL = '<|channel|>commentary to=functions.echo <|constrain|>json<|message|>{"text": "x"}<|call|>'
FINAL = "<|channel|>final<|message|>4<|return|>"


async def play(session: Session, text: str) -> list[Event]:
    events = [event async for event in session.send(text)]
    await session.settle()
    return events


async def test_all_but_the_persons_words_is_read_ahead(stage: Any, echo: Any) -> None:
    """Reasoning, calls and their outputs included, as the next prompt has them."""
    one = stage(THOUGHT, CALL, FINAL, THOUGHT, tools=[echo()])
    engine = one.engine
    for turn, text in enumerate(("2+2?", "and now?", "again")):
        first = len(engine.requests)
        await play(one.session, text)
        assert len(engine.ahead) == turn + 1
        if turn:
            ids, prompt = engine.ahead[turn - 1], engine.requests[first].prompt_ids
            assert prompt[: len(ids)] == ids
            rest = engine.tokenizer.decode(list(prompt[len(ids) :]))
            assert rest == f"{text}<|end|><|start|>assistant"
    await one.session.runtime.close()


async def test_before_the_first_message_it_is_the_instructions(stage: Any) -> None:
    one = stage(FINAL)
    session = one.session
    async for _ in session.load():
        pass
    assert one.engine.ahead == [], "the tools are not known yet"
    async for _ in session.equip():
        pass
    await session.settle()
    (ids,) = one.engine.ahead
    assert one.engine.tokenizer.decode(list(ids)).endswith("<|end|><|start|>user<|message|>")
    await play(session, "2+2?")
    (request,) = one.engine.requests
    assert request.prompt_ids[: len(ids)] == ids
    assert len(ids) - request.opening == len(("<|start|>", "u", "s", "er", "<|message|>"))
    await session.runtime.close()


async def test_effort_and_instructions_are_those_of_the_next_turn(stage: Any) -> None:
    one = stage(FINAL, FINAL)
    events = one.session.send("2+2?")
    async for event in events:
        if isinstance(event, OutputDelta):
            one.session.effort = Effort.HIGH
    await one.session.settle()
    assert "Reasoning: high" in one.engine.tokenizer.decode(list(one.engine.ahead[-1]))
    await play(one.session, "and now?")
    ids = one.engine.ahead[0]
    assert one.engine.requests[-1].prompt_ids[: len(ids)] == ids
    await one.session.runtime.close()


@pytest.mark.parametrize("how", ["setting", "ability"])
async def test_it_can_be_off(renderer: Renderer, tokenizer: tiktoken.Encoding, how: str) -> None:
    able = replace(ABLE, reads_ahead=how != "ability")
    engine = FakeEngine(tokenizer, FINAL, abilities=able)
    options = Options(read_ahead=how != "setting")
    session = Session(Runtime(engine, renderer, model="scripted"), (), Nobody(), options=options)
    await play(session, "2+2?")
    assert engine.ahead == []
    await session.runtime.close()


@pytest.mark.parametrize("how", ["stop", "close", "runtime", "resume", "send"])
async def test_it_ends_at_once(
    renderer: Renderer, tokenizer: tiktoken.Encoding, tmp_path: Path, until: Any, how: str
) -> None:
    engine = FakeEngine(tokenizer, FINAL, THOUGHT, hold_ahead=asyncio.Event())
    runtime = Runtime(engine, renderer, model="scripted", store=Store(tmp_path / "s.sqlite3"))
    session = Session(runtime, (), Nobody())
    await play(session, "2+2?")
    assert not session.busy and engine.reading_ahead == 1
    match how:
        case "stop":
            await session.stop()
        case "close":
            await session.close()
        case "runtime":
            await runtime.close()
        case "resume":
            await session.resume()
        case "send":
            assert isinstance((await play(session, "again"))[-1], Completed), "the next turn does not wait"
            assert engine.reading_ahead == 1, "the next one took its place"
            await session.stop()
    await until(lambda: not engine.reading_ahead)
    await runtime.close()


async def test_a_turn_that_was_stopped_is_not_followed_by_work(stage: Any) -> None:
    held = asyncio.Event()
    one = stage(["<|channel|>final<|message|>The answer", held])
    async for event in one.session.send("2+2?"):
        if isinstance(event, OutputDelta):
            await one.session.stop()
    assert isinstance(event, Incomplete)
    await one.session.settle()
    assert one.engine.ahead == []
    await one.session.runtime.close()


async def test_it_leaves_no_trace_in_history(
    renderer: Renderer, tokenizer: tiktoken.Encoding, tmp_path: Path
) -> None:
    runtime = Runtime(FakeEngine(tokenizer, FINAL), renderer, model="s", store=Store(tmp_path / "s.sqlite3"))
    session = Session(runtime, (), Nobody())
    await play(session, "2+2?")
    assert [message.text for message in session.conversation.messages] == ["2+2?", "4"]
    name = session.id
    await runtime.close()
    store = Store(tmp_path / "s.sqlite3")
    stored = await store.read(name)
    assert stored is not None
    assert [message.text for message in stored.messages] == ["2+2?", "4"]
    await store.close()


messages = st.lists(
    st.builds(
        Message,
        st.just(Role.ASSISTANT),
        st.text(max_size=20),
        channel=st.sampled_from(Channel),
        recipient=st.sampled_from([None, None, "functions.echo"]),
    )
    | st.builds(Message, st.sampled_from([Role.USER, Role.TOOL]), st.text(max_size=20)),
    max_size=6,
)


@given(
    messages=messages,
    instructions=st.text(max_size=20),
    words=st.text(max_size=40) | st.sampled_from(["<|message|>", "<|start|>user<|message|>"]),
)
def test_the_known_part_begins_every_continuation(
    tokenizer: tiktoken.Encoding, messages: list[Message], instructions: str, words: str
) -> None:
    conversation = Conversation(developer=DeveloperPrompt(instructions), messages=messages)

    class InThisProcess(Renderer):
        control = ControlTokens.of(tokenizer)

        async def render(self, conversation: Conversation, channel: Channel | None = None) -> list[int]:
            return render(conversation, tokenizer, channel=channel)

    ids = asyncio.run(known_ids(InThisProcess(Path()), conversation))
    said = replace(conversation, messages=[*messages, Message(Role.USER, words)])
    prompt = render(said, tokenizer)
    assert prompt[: len(ids)] == ids
    rest = tokenizer.decode(prompt[len(ids) :])
    assert rest == f"{words}<|end|><|start|>assistant" or "\ufffd" in rest
    control = ControlTokens.of(tokenizer)
    alone = render(replace(conversation, messages=[]), tokenizer)
    assert opening(prompt, said, control) == opening(alone, conversation, control)
    assert (
        prompt[: opening(prompt, said, control)]
        == alone[: -len(tokenizer.encode("<|start|>assistant", allowed_special="all"))]
    )


@pytest.fixture
def folder(tiny_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "tiny", num_hidden_layers=2, max_position_embeddings=100_000)


async def test_the_next_turn_waits_for_the_persons_words_alone(
    folder: Path, renderer: Renderer, tokenizer: tiktoken.Encoding
) -> None:
    """With a real worker, and a network that may write anything."""
    turns: dict[bool, list[list[Event]]] = {}
    for ahead in (True, False):
        engine = LocalEngine(folder, name="tiny", threads=1, log=folder / "engine.log")
        options = Options("Be brief.", sampling=Sampling(seed=3, max_tokens=30), read_ahead=ahead)
        session = Session(Runtime(engine, renderer, model="tiny"), (), Nobody(), options=options)
        turns[ahead] = []
        for text in ("one", "two", "three"):
            turns[ahead].append(await play(session, text))
            if session._ahead._task is not None:
                await session._ahead._task
        await session.close()
        await engine.close()
    for text, events in zip(("two", "three"), turns[True][1:], strict=True):
        progress = next(event for event in events if isinstance(event, Prefill))
        unread = tokenizer.encode(f"{text}<|end|><|start|>assistant", allowed_special="all")
        assert progress.total - progress.cached == len(unread)
    said = {ahead: [told(events) for events in of] for ahead, of in turns.items()}
    assert any(said[True])
    assert said[True] == said[False]


def told(events: list[Event]) -> list[Event]:
    """What was written, without what it took."""
    return [event for event in events if isinstance(event, OutputDelta | ReasoningDelta | Repaired)]
