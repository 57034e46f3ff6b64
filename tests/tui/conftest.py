"""The real application on the real chat; only the engine is scripted, for what no honest model would say."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import tiktoken
from textual.pilot import Pilot

from gptoss_tui.agent.filters.filter import ReasoningFilter
from gptoss_tui.agent.options import ContextPolicy, Options
from gptoss_tui.agent.reasoning import ReasoningPolicy
from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.runtime import Runtime
from gptoss_tui.agent.session import Session
from gptoss_tui.harmony import Effort, ResponseFormat
from gptoss_tui.history.store import Store
from gptoss_tui.model.engine.fake import FakeEngine, Script
from gptoss_tui.permissions.policy import Permissions
from gptoss_tui.settings import Reasoning
from gptoss_tui.tools import Output, Reach, Risk, Source, Tool
from gptoss_tui.tui.app import ChatApp
from gptoss_tui.tui.draft import Draft
from gptoss_tui.tui.widgets.composer import Composer

Predicate = Callable[[], object]


class Repeat(Tool):
    """Gives back its arguments; a tool that must ask, and that counts what it was made to run."""

    name = "functions.repeat"
    description = "Gives back what it gets."
    parameters: dict[str, Any] = {"type": "object", "properties": {"text": {"type": "string"}}}  # noqa: RUF012
    where = "on this machine, unconfined"

    def __init__(self, *, must_ask: bool = False, output: str | None = None, is_error: bool = False) -> None:
        self.must_ask = must_ask
        self.calls: list[str] = []
        self._output = output
        self._is_error = is_error

    def risk(self, arguments: str) -> Risk:
        return Risk(Reach.OUTSIDE if self.must_ask else Reach.BOUNDED)

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        self.calls.append(arguments)
        yield Output(arguments if self._output is None else self._output, self._is_error)


@dataclass
class Stage:
    """A running application and what drives it."""

    app: ChatApp
    pilot: Pilot[str]
    engine: FakeEngine

    @property
    def screen(self) -> str:
        """The characters on the screen, row by row."""
        cells: dict[float, dict[int, str]] = {}
        piece = r'<text class="[^"]*-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>'
        for x, y, text in re.findall(piece, self.app.export_screenshot()):
            row = cells.setdefault(float(y), {})
            row[round(float(x) / 12.2)] = html.unescape(text).replace("\xa0", " ")
        return "\n".join(_line(row) for _, row in sorted(cells.items()))

    async def until(self, predicate: Predicate, seconds: float = 60.0) -> None:
        """Let the application run until `predicate()` holds."""
        deadline = monotonic() + seconds
        while not predicate():
            assert monotonic() < deadline, f"it never came to pass; the screen shows\n{self.screen}"
            await self.pilot.pause(0.05)

    async def until_shown(self, text: str, seconds: float = 60.0) -> None:
        await self.until(lambda: text in self.screen, seconds)

    async def ready(self) -> None:
        await self.until_shown("● ready")

    async def say(self, text: str) -> None:
        """Write a message and send it. (Pressing every key would take most of the time of these tests.)"""
        self.app.screen.query_one(Composer).focus().insert(text)
        await self.pilot.press("enter")


def _line(pieces: dict[int, str]) -> str:
    line = ""
    for column, text in sorted(pieces.items()):
        line = line.ljust(column) + text
    return line


StageMaker = Callable[..., AbstractAsyncContextManager[Stage]]


class _KeptRenderer(Renderer):
    """Stays open from test to test: its child takes a second to start."""

    async def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def renderer(checkpoint: Path) -> Iterator[Renderer]:
    kept = _KeptRenderer(checkpoint)
    asyncio.run(kept.start())
    yield kept
    asyncio.run(Renderer.close(kept))


@pytest.fixture(scope="session")
def stage_type() -> type[Stage]:
    """For tests that make their own application."""
    return Stage


@pytest.fixture
def repeat() -> type[Repeat]:
    """The tool that repeats."""
    return Repeat


@pytest.fixture
def stage(renderer: Renderer, tokenizer: tiktoken.Encoding, caplog: pytest.LogCaptureFixture) -> StageMaker:
    """A function `(*scripts, tools, size, ..., **engine)` that runs the application."""

    @asynccontextmanager
    async def make(
        *scripts: Script,
        tools: Sequence[Tool] = (),
        sources: Sequence[Source] = (),
        size: tuple[int, int] = (100, 30),
        first_message: str | None = None,
        store: Store | None = None,
        resume: str | None = None,
        response_format: ResponseFormat | None = None,
        reasoning: Reasoning = "folded",
        judge: ReasoningFilter | None = None,
        permissions: Permissions | None = None,
        max_tool_calls: int = 32,
        danger: str = "",
        draft: Draft | None = None,
        context_full: ContextPolicy = "compact",
        **engine: Any,
    ) -> AsyncIterator[Stage]:
        fake = FakeEngine(tokenizer, *scripts, **engine)
        app = ChatApp(
            lambda person: Session(
                Runtime(
                    fake,
                    renderer,
                    model="scripted",
                    store=store,
                    reasoning=ReasoningPolicy(hidden=reasoning == "hidden", judge=judge),
                ),
                tools,
                person,
                sources=sources,
                resume=resume,
                options=Options(
                    response_format=response_format,
                    max_tool_calls=max_tool_calls,
                    context_full=context_full,
                ),
                permissions=permissions,
            ),
            model="scripted",
            effort=Effort.MEDIUM,
            reasoning=reasoning,
            first_message=first_message,
            danger=danger,
            draft=draft,
        )
        async with app.run_test(size=size, notifications=True) as pilot:
            yield Stage(app, pilot, fake)
            mishaps = [record.message for record in caplog.records if "turn" in record.message]
            assert not mishaps, "something went wrong while a turn was drawn"

    return make
