"""Keys that arrive faster than the application draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import events

from gptoss_tui.model.engine import Finished, Generation, Token
from gptoss_tui.widgets.composer import Composer

ANSWER = "<|channel|>final<|message|>Yes.<|return|>"
MOST = 20_000
"""Tokens after which a flood ends that nobody could type into."""


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


async def test_a_flood_of_tokens_lets_every_key_through(stage: Callable[..., Any]) -> None:
    """An engine whose tokens are all there already never makes the session wait; the keys must not either."""
    async with stage() as s:
        await s.ready()
        composer = s.app.screen.query_one(Composer)
        begin = s.engine.tokenizer.encode("<|channel|>final<|message|>", allowed_special="all")
        (word,), (end,) = (
            s.engine.tokenizer.encode(text, allowed_special="all") for text in ("a", "<|return|>")
        )
        written = 0

        async def flood(*arguments: Any) -> Generation:
            nonlocal written
            for token in begin:
                yield Token(token, -0.1)
            type_at_once(s.app, "typed in the flood")
            while composer.text != "typed in the flood" and written < MOST:
                written += 1
                yield Token(word, -0.1)
            yield Token(end, -0.1)
            yield Finished("stop", 0.1, 0.1)

        s.engine.generate = flood
        await s.say("Go on for ever.")
        await s.until_shown("effort medium ·")
        assert 0 < written < MOST
