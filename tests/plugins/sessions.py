"""Sessions on a FakeEngine, a person who answers, and a tool to call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiktoken

from gptoss_tui.agent.options import ContextPolicy, Options
from gptoss_tui.agent.reasoning import ReasoningPolicy
from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.runtime import Runtime
from gptoss_tui.agent.session import Session
from gptoss_tui.calls.call import run_call
from gptoss_tui.calls.output import OutputFolder
from gptoss_tui.calls.toolbox import Toolbox
from gptoss_tui.events.events import Event, ToolCall
from gptoss_tui.events.stream import Sink, stream
from gptoss_tui.harmony import ResponseFormat
from gptoss_tui.history.store import Store
from gptoss_tui.model import load_tokenizer
from gptoss_tui.model.engine import Sampling
from gptoss_tui.model.engine.fake import FakeEngine, Script
from gptoss_tui.permissions.policy import Permissions
from gptoss_tui.permissions.question import (
    Approval,
    Crowded,
    Decision,
    GoOn,
    MakeRoom,
    Pause,
    Person,
    Question,
)
from gptoss_tui.tools import Output, Reach, Risk, Source, Tool


class Somebody:
    """A person who gives the same answer to every question, and remembers what was asked."""

    def __init__(
        self, *answers: Approval | Decision, go_on: GoOn = GoOn.STOP, make_room: MakeRoom = MakeRoom.STOP
    ) -> None:
        """The last of `answers` is given again and again; without any, it is no."""
        given = answers or (Approval.NO,)
        self.answers = [one if isinstance(one, Decision) else Decision(one) for one in given]
        self.asked: list[Question] = []
        self.pauses: list[Pause] = []
        self.crowded: list[Crowded] = []
        self._go_on = go_on
        self._make_room = make_room

    async def approve(self, question: Question) -> Decision:
        self.asked.append(question)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def go_on(self, pause: Pause) -> GoOn:
        self.pauses.append(pause)
        return self._go_on

    async def make_room(self, crowded: Crowded) -> MakeRoom:
        self.crowded.append(crowded)
        return self._make_room


class Echo(Tool):
    """Gives its arguments back, in two pieces; "wait" makes it run until it is stopped."""

    name = "functions.echo"
    description = "Gives back what it gets."
    parameters: Mapping[str, Any] | None = {"type": "object", "properties": {"text": {"type": "string"}}}

    def __init__(self, must_ask: bool = False) -> None:
        self.must_ask = must_ask
        self.calls: list[str] = []
        self.folders: list[Path] = []
        self.called = asyncio.Event()
        self.stopped = False

    def keep(self, folder: Path) -> None:
        self.folders.append(folder)

    def risk(self, arguments: str) -> Risk:
        return Risk(Reach.OUTSIDE if self.must_ask else Reach.BOUNDED)

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        self.calls.append(arguments)
        self.called.set()
        try:
            yield Output("got ")
            if "wait" in arguments:
                await asyncio.sleep(60)
        except (asyncio.CancelledError, GeneratorExit):
            self.stopped = True
            raise
        if "raise" in arguments:
            raise RuntimeError("broken tool")
        yield Output(arguments)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Callable[..., Path]) -> Path:
    """A tiny checkpoint, of which only the tokenizer is used."""
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def tokenizer(checkpoint: Path) -> tiktoken.Encoding:
    return load_tokenizer(checkpoint)


@dataclass
class Stage:
    """A session on an engine that plays scripts, and how to play a turn on it."""

    session: Session
    engine: FakeEngine

    async def load(self) -> None:
        """Have a message be kept at once: before the model is loaded it cannot be measured."""
        async for _ in self.session.load():
            pass

    async def play(self, text: str) -> list[Event]:
        return [event async for event in self.session.send(text)]


StageMaker = Callable[..., Stage]


@pytest.fixture(scope="session")
def renderer(checkpoint: Path) -> Iterator[Renderer]:
    shared = Renderer(checkpoint)
    yield shared
    asyncio.run(shared.close())


@pytest.fixture
def stage(renderer: Renderer, tokenizer: tiktoken.Encoding) -> StageMaker:
    """A function `(*scripts, tools=(), person=..., store=None, ..., **engine) -> Stage`."""

    def make(
        *scripts: Script,
        tools: Sequence[Tool] = (),
        sources: Sequence[Source] = (),
        person: Person | None = None,
        sampling: Sampling | None = None,
        store: Store | None = None,
        resume: str | None = None,
        response_format: ResponseFormat | None = None,
        constrain_headers: bool = True,
        max_reasoning_tokens: int | None = None,
        reasoning: ReasoningPolicy | None = None,
        files: Path | None = None,
        max_tool_calls: int = 32,
        permissions: Permissions | None = None,
        off: Sequence[str] = (),
        outputs: OutputFolder | None = None,
        context_full: ContextPolicy = "compact",
        **engine: Any,
    ) -> Stage:
        scripted = FakeEngine(tokenizer, *scripts, **engine)
        session = Session(
            Runtime(scripted, renderer, model="scripted", store=store, reasoning=reasoning),
            tools,
            person or Somebody(Approval.NO),
            sources=sources,
            options=Options(
                "",
                response_format,
                sampling or Sampling(),
                constrain_headers,
                max_reasoning_tokens,
                max_tool_calls,
                context_full=context_full,
            ),
            resume=resume,
            files=files,
            permissions=permissions,
            off=off,
            outputs=outputs,
        )
        return Stage(session, scripted)

    return make


Caller = Callable[..., Awaitable[list[Event]]]


@pytest.fixture
def called() -> Caller:
    """`await called(toolbox, call, stop)`: the events of one call, its output the last of them."""

    async def run(toolbox: Toolbox, call: ToolCall, stop: asyncio.Event | None = None) -> list[Event]:
        async def work(emit: Sink) -> None:
            await emit(await run_call(toolbox, call, stop or asyncio.Event(), emit))

        return [event async for event in stream(work)]

    return run


@pytest.fixture
def somebody() -> type[Somebody]:
    """A person with prepared answers."""
    return Somebody


@pytest.fixture
def echo() -> Callable[..., Echo]:
    return Echo
