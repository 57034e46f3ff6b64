"""What the model wrote amiss, and how it was read, is told to the person."""

from __future__ import annotations

from typing import Any

ANSWER = "<|channel|>final<|message|>Four.<|return|>"


async def test_an_answer_that_had_to_be_asked_for_is_shown_and_said_to_be(stage: Any) -> None:
    silent = "<|channel|>analysis<|message|>hm<|return|>"
    async with stage(silent, "Four, as they say.<|return|>") as s:
        await s.ready()
        await s.say("2+2?")
        await s.until_shown("Four, as they say.")
        assert "the model gave no answer and was asked for it" in s.screen


async def test_a_call_on_the_final_channel_is_shown_and_refused(stage: Any, repeat: Any) -> None:
    tool = repeat()
    call = '<|channel|>final to=functions.repeat<|message|>{"text":"a"}<|call|>'
    async with stage(call, ANSWER, tools=[tool]) as s:
        await s.ready()
        await s.say("2+2?")
        await s.until_shown("Four.")
        assert '{"text":"a"}' in s.screen
        assert "functions.repeat" in s.screen
        assert tool.calls == []


async def test_what_a_header_said_too_much_is_told_and_acts_on_nothing(stage: Any) -> None:
    async with stage(ANSWER.replace("final", "final \x1b[2J[b]so[/b]")) as s:
        await s.ready()
        await s.say("2+2?")
        await s.until_shown("Four.")
        assert "extra words in a header were ignored: ␛[2J[b]so[/b]" in s.screen
