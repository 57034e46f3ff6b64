"""Small and changing terminals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gptoss_tui.tui.widgets.composer import Composer

StageMaker = Callable[..., Any]

ANSWER = (
    "<|channel|>final<|message|>A table:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n<|return|>"
)
THOUGHT = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant"


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60)])
async def test_what_matters_is_in_sight(stage: StageMaker, size: tuple[int, int]) -> None:
    async with stage(THOUGHT + ANSWER, size=size) as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("effort medium ·")
        await s.ready()
        rows = s.screen.splitlines()
        assert "● ready" in rows[-1] and "effort medium" in rows[-1] and "context " in rows[-1]
        assert all(len(row) <= size[0] for row in rows)
        assert "Message scripted" in s.screen
        assert "raw reasoning, unmoderated" in s.screen
        assert "code" in s.screen


async def test_the_composer_grows_and_leaves_room(stage: StageMaker) -> None:
    async with stage(size=(60, 20)) as s:
        await s.ready()
        await s.pilot.press(*["a", "ctrl+j"] * 30)
        composer = s.app.screen.query_one(Composer)
        assert 5 <= composer.size.height <= 8
        assert "● ready" in s.screen


async def test_any_size_is_borne(stage: StageMaker) -> None:
    async with stage(THOUGHT + ANSWER) as s:
        await s.ready()
        await s.say("hi")
        for size in ((1, 1), (300, 3), (10, 100), (80, 24)):
            await s.pilot.resize_terminal(*size)
            await s.pilot.press("ctrl+t", "ctrl+o")
        await s.until_shown("effort medium ·")
