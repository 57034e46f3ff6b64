"""The bounds of reasoning: the budget of a turn, and the end of text that goes round in circles."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
import tiktoken

from gptoss_tui.events.events import (
    Completed,
    Event,
    Incomplete,
    OutputDelta,
    ReasoningClosed,
    ReasoningDelta,
    Repaired,
    ToolCall,
)
from gptoss_tui.harmony import Channel
from gptoss_tui.model.engine import Sampling
from gptoss_tui.plain.show import AsText

E = TypeVar("E", bound=Event)
StageMaker = Callable[..., Any]
ToolMaker = Callable[..., Any]

THINK = "<|channel|>analysis<|message|>"
SAY = "<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>"
ANSWER = "<|channel|>final<|message|>4<|return|>"
CALL = (
    "<|end|><|start|>assistant to=functions.echo<|channel|>commentary <|constrain|>json<|message|>{}<|call|>"
)
FORCED = "<|end|><|start|>assistant<|channel|>final<|message|>"


def of(kind: type[E], events: list[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def thoughts(tokenizer: tiktoken.Encoding, tokens: int, name: str = "x") -> str:
    """A text of so many tokens that repeats nothing: in the tiny vocabulary a character is a token."""
    text = "".join(f"{name}{n};" for n in range(tokens))[:tokens]
    assert len(tokenizer.encode_ordinary(text)) == tokens
    return text


async def test_reasoning_within_the_budget_is_not_touched(
    stage: StageMaker, tokenizer: tiktoken.Encoding
) -> None:
    s = stage(THINK + thoughts(tokenizer, 50) + SAY, max_reasoning_tokens=50)
    events = await s.play("2+2?")
    assert not of(ReasoningClosed, events)
    end = events[-1]
    assert isinstance(end, Completed)
    assert (end.output_text, end.usage.reasoning_tokens) == ("4", 50)
    assert len(s.engine.prompts) == 1


@pytest.mark.parametrize("budget", [1, 49])
async def test_reasoning_is_closed_at_the_budget_and_the_answer_asked_for(
    stage: StageMaker, tokenizer: tiktoken.Encoding, capsys: pytest.CaptureFixture[str], budget: int
) -> None:
    text = thoughts(tokenizer, 50)
    s = stage(THINK + text + SAY, "Four.<|return|>", max_reasoning_tokens=budget)
    events = await s.play("2+2?")
    assert s.engine.prompts[1].endswith(THINK + text[:budget] + FORCED), "it sees what it had thought so far"
    assert "".join(event.delta for event in of(ReasoningDelta, events)) == text[:budget]
    (closed,) = of(ReasoningClosed, events)
    assert closed.reason == "max_reasoning_tokens"
    assert not of(Repaired, events)
    end = events[-1]
    assert isinstance(end, Completed)
    assert (end.output_text, end.reasoning_text) == ("Four.", text[:budget])
    assert end.usage.reasoning_tokens == budget
    channels = [message.channel for message in s.session.conversation.messages]
    assert channels == [None, Channel.ANALYSIS, Channel.FINAL]

    show = AsText(notes=sys.stderr)
    for event in events:
        show(event)
    out, err = capsys.readouterr()
    assert out == "Four.\n"
    assert "reached --max-reasoning-tokens, so it was closed" in err


async def test_the_budget_is_the_turns_and_not_the_samples(
    stage: StageMaker, echo: ToolMaker, tokenizer: tiktoken.Encoding
) -> None:
    first, second = thoughts(tokenizer, 30, "a"), thoughts(tokenizer, 30, "b")
    tool = echo()
    s = stage(
        THINK + first + CALL, THINK + second + SAY, "Four.<|return|>", tools=[tool], max_reasoning_tokens=40
    )
    events = await s.play("2+2?")
    assert len(tool.calls) == 1
    assert s.engine.prompts[2].endswith(THINK + second[:10] + FORCED)
    assert isinstance(events[-1], Completed)
    assert events[-1].usage.reasoning_tokens == 40

    s.engine.scripts += [THINK + thoughts(tokenizer, 40, "c") + SAY]
    again = await s.play("and 3+3?")
    assert not of(ReasoningClosed, again), "the next turn has a budget of its own"
    assert isinstance(again[-1], Completed)


async def test_a_call_at_the_end_of_the_budget_is_run_and_the_answer_asked_for(
    stage: StageMaker, echo: ToolMaker, tokenizer: tiktoken.Encoding
) -> None:
    tool = echo()
    s = stage(
        THINK + thoughts(tokenizer, 40) + CALL, "Four.<|return|>", tools=[tool], max_reasoning_tokens=40
    )
    events = await s.play("2+2?")
    assert len(tool.calls) == len(of(ToolCall, events)) == 1
    assert s.engine.prompts[1].endswith("got {}" + FORCED)
    assert len(of(ReasoningClosed, events)) == 1
    assert isinstance(events[-1], Completed)


async def test_reasoning_that_goes_round_in_circles_is_closed(stage: StageMaker) -> None:
    s = stage(THINK + "Hm. " + "Wait, no. " * 1000, "Four.<|return|>")
    events = await s.play("2+2?")
    (closed,) = of(ReasoningClosed, events)
    assert closed.reason == "repetition"
    assert "repeated itself" in closed.sentence
    end = events[-1]
    assert isinstance(end, Completed)
    assert end.output_text == "Four."
    assert end.reasoning_text.startswith("Hm. Wait, no. Wait")
    assert s.engine.prompts[1].endswith(FORCED)


@pytest.mark.parametrize("whose", ["sampling", "checkpoint"])
async def test_circles_are_told_before_a_short_limit_of_the_sample(stage: StageMaker, whose: str) -> None:
    s = stage(THINK + "Hm. " + "Wait, no. " * 1000, "Four.<|return|>")
    if whose == "sampling":
        s.session.options = replace(s.session.options, sampling=Sampling(max_tokens=320))
    else:
        s.engine.longest_answer = 320
    end = (await s.play("2+2?"))[-1]
    assert isinstance(end, Completed)
    assert end.output_text == "Four."
    assert len(s.engine.prompts) == 2


async def test_an_answer_that_goes_round_in_circles_is_ended_and_kept(
    stage: StageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    s = stage("<|channel|>final<|message|>" + "ha " * 5000, ANSWER, context=100_000)
    events = await s.play("laugh")
    end = events[-1]
    assert isinstance(end, Incomplete)
    assert end.reason == "repetition"
    assert end.output_text == "".join(event.delta for event in of(OutputDelta, events))
    assert end.output_text.startswith("ha ha ")
    assert len(end.output_text) < 15_000
    assert s.session.conversation.messages[-1].text == end.output_text
    show = AsText()
    for event in events:
        show(event)
    assert "the model was repeating itself" in capsys.readouterr().err
    assert isinstance((await s.play("again"))[-1], Completed)


async def test_a_call_that_goes_round_in_circles_is_not_run(stage: StageMaker, echo: ToolMaker) -> None:
    tool = echo()
    call = CALL.removeprefix("<|end|><|start|>assistant").replace("{}<|call|>", '{"text": "' + "la" * 9000)
    end = (await stage(call, tools=[tool], context=100_000).play("sing"))[-1]
    assert isinstance(end, Incomplete)
    assert end.reason == "repetition"
    assert tool.calls == []


async def test_a_forced_answer_that_goes_round_in_circles_ends_the_turn(stage: StageMaker) -> None:
    s = stage(THINK + "no " * 2000, "yes " * 5000, context=100_000)
    events = await s.play("2+2?")
    assert len(of(ReasoningClosed, events)) == 1
    assert isinstance(events[-1], Incomplete)
    assert events[-1].reason == "repetition"
    assert len(s.engine.prompts) == 2


async def test_the_person_may_stop_while_the_answer_is_asked_for(
    stage: StageMaker, tokenizer: tiktoken.Encoding
) -> None:
    s = stage(THINK + thoughts(tokenizer, 50) + SAY, "Four.<|return|>", max_reasoning_tokens=10, pause=0.001)
    async for event in s.session.send("2+2?"):
        if isinstance(event, ReasoningClosed):
            await s.session.stop()
    assert isinstance(event, Incomplete)
    assert event.reason == "interrupted"
