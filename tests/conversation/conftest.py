"""A scripted engine: exact token sequences that no honest model would produce on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tiktoken

from gptoss_tui.conversation.approval import Approval, Approver, refuse
from gptoss_tui.conversation.chat import Chat
from gptoss_tui.conversation.codec import Codec
from gptoss_tui.conversation.events import Event, ToolCall
from gptoss_tui.conversation.store import Store
from gptoss_tui.model import load_tokenizer
from gptoss_tui.model.engine import (
    EngineDied,
    EngineInfo,
    Finished,
    Generation,
    Loading,
    Prefill,
    Sampling,
    Token,
)
from gptoss_tui.tools import Output, Tool


@dataclass
class ScriptedEngine:
    """Plays one script a sample. A script is harmony text; "DIE" in it is the death of the engine.

    `pause` seconds pass before each token. `prompts` keeps what it was asked.
    """

    tokenizer: tiktoken.Encoding
    scripts: list[str]
    pause: float = 0.0
    context: int = 4096
    prompts: list[str] = field(default_factory=list)
    seeds: list[int | None] = field(default_factory=list)
    loads: int = 0
    _loaded: bool = False
    _cancelled: bool = False

    async def load(self) -> AsyncIterator[Loading]:
        if not self._loaded:
            self._loaded = True
            self.loads += 1
            yield Loading("reading", 1, 2)

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, stop_ids: Sequence[int]
    ) -> Generation:
        self._cancelled = False
        self.prompts.append(self.tokenizer.decode(list(prompt_ids)))
        self.seeds.append(sampling.seed)
        yield Prefill(len(prompt_ids), len(prompt_ids), 0)
        script, *self.scripts = self.scripts
        alive, death, _ = script.partition("DIE")
        for count, token in enumerate(self.tokenizer.encode(alive, allowed_special="all"), 1):
            if self.pause:
                await asyncio.sleep(self.pause)
            if self._cancelled:
                yield Finished("cancelled", 0.1, 0.1)
                return
            yield Token(token, -0.1)
            if token in stop_ids:
                yield Finished("stop", 0.1, 0.1)
                return
            if count == sampling.max_tokens:
                yield Finished("length", 0.1, 0.1)
                return
        if death:
            self._loaded = False
            raise EngineDied("engine stopped (signal 9)")
        yield Finished("length", 0.1, 0.1)

    async def cancel(self) -> None:
        self._cancelled = True

    def info(self) -> EngineInfo | None:
        return EngineInfo("scripted", "paper", self.context, 320, 0, 0.5) if self.loads else None

    async def close(self) -> None:
        self._loaded = False


class Echo(Tool):
    """Gives its arguments back, in two pieces; "wait" makes it run until it is stopped."""

    name = "functions.echo"
    description = "Gives back what it gets."
    parameters: Mapping[str, Any] | None = {"type": "object", "properties": {"text": {"type": "string"}}}

    def __init__(self, must_ask: bool = False) -> None:
        self.must_ask = must_ask
        self.calls: list[str] = []
        self.called = asyncio.Event()
        self.stopped = False

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
    """A chat on a scripted engine, and how to play a turn on it."""

    chat: Chat
    engine: ScriptedEngine

    async def play(self, text: str) -> list[Event]:
        return [event async for event in self.chat.send(text)]


StageMaker = Callable[..., Stage]


@pytest.fixture(scope="session")
def codec(checkpoint: Path) -> Iterator[Codec]:
    shared = Codec(checkpoint)
    yield shared
    asyncio.run(shared.close())


@pytest.fixture
def stage(codec: Codec, tokenizer: tiktoken.Encoding) -> StageMaker:
    """A function `(*scripts, tools=(), approve=refuse, store=None, **engine) -> Stage`."""

    def make(
        *scripts: str,
        tools: Sequence[Tool] = (),
        approve: Approver = refuse,
        sampling: Sampling | None = None,
        store: Store | None = None,
        resume: str | None = None,
        **engine: Any,
    ) -> Stage:
        scripted = ScriptedEngine(tokenizer, list(scripts), **engine)
        chat = Chat(
            scripted,
            codec,
            tools,
            approve,
            model="scripted",
            sampling=sampling,
            store=store,
            resume=resume,
        )
        return Stage(chat, scripted)

    return make


async def allow(call: ToolCall, tool: Tool) -> Approval:
    return Approval.SESSION


@pytest.fixture
def allow_all() -> Approver:
    return allow


@pytest.fixture
def echo() -> Callable[..., Echo]:
    return Echo
