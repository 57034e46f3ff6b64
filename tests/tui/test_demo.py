"""The application on the embedded model: every part the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.assemble.assemble import open_session
from gptoss_tui.settings import Settings
from gptoss_tui.tui.app import ChatApp
from gptoss_tui.tui.widgets.reasoning_pane import ReasoningPane

Open = Callable[..., Any]


@pytest.fixture
def session(stage_type: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A function `(**settings) -> async context with a Stage` on the embedded model, nothing kept."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[Any]:
        chosen = replace(Settings(temperature=0.0, threads=1), **settings)
        app = ChatApp(lambda approve: open_session(chosen, approve), model=chosen.model, effort=chosen.effort)
        async with app.run_test(size=(100, 40), notifications=True) as pilot:
            yield stage_type(app, pilot, None)

    return make


async def test_python_computes_and_the_answer_is_shown(session: Open) -> None:
    async with session(bypass=True) as s:
        await s.pilot.press("h", "i")
        assert "│ hi" in s.screen, "typing is possible before the model is there"
        await s.until_shown("● ready", 90)
        await s.pilot.press("ctrl+c")
        await s.say("What is 417 * 38?")
        await s.until_shown("effort medium ·", 90)
        await s.ready()
        assert "● python  finished" in s.screen
        *_, answer = s.app.screen._player.session.conversation.messages
        assert "15846" in answer.text
        assert answer.text.strip() in s.screen
        assert "▸ raw reasoning, unmoderated" in s.screen
        assert "/131k" in s.screen and " tok/s" in s.screen


async def test_higher_effort_thinks_longer(session: Open) -> None:
    async with session(tools=()) as s:
        await s.until_shown("● ready", 90)
        for _ in range(2):
            await s.pilot.press("shift+tab")
            await s.say("Hello!")
        await s.until(lambda: s.screen.count("tokens/s") == 2, 90)
        high, low = (len(pane.text) for pane in s.app.screen.query(ReasoningPane))
        assert high > low
