"""Keys that arrive faster than the application draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import events

from gptoss_tui.widgets.composer import Composer

ANSWER = "<|channel|>final<|message|>Yes.<|return|>"


def type_at_once(app: Any, text: str) -> None:
    """Every key is in the queue before the first one is handled, as when a terminal sends a burst."""
    for character in text:
        key = {"\n": "enter", "\v": "ctrl+j", " ": "space"}.get(character, character)
        app.post_message(events.Key(key, character if character.isprintable() else None))


async def test_enter_sends_all_that_was_typed_before_it(stage: Callable[..., Any]) -> None:
    async with stage(ANSWER, ANSWER) as s:
        await s.ready()
        type_at_once(s.app, "what is 417 times 38\nand then")
        await s.until_shown("effort medium ·")
        assert "what is 417 times 38<|end|>" in s.engine.prompts[0]
        assert s.app.screen.query_one(Composer).text == "and then"


async def test_a_new_line_stands_where_it_was_typed(stage: Callable[..., Any]) -> None:
    async with stage(ANSWER) as s:
        await s.ready()
        type_at_once(s.app, "one\vtwo\vthree\n")
        await s.until_shown("effort medium ·")
        assert "one\ntwo\nthree<|end|>" in s.engine.prompts[0]
