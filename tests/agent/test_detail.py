"""Tokens as events: only on request, with what the engine can report, and never past the filter."""

from __future__ import annotations

import math
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.agent.reasoning import ReasoningPolicy
from gptoss_tui.agent.session import Session
from gptoss_tui.assemble.assemble import open_session
from gptoss_tui.events.events import Cited, EngineLacks, Event, TokenSampled
from gptoss_tui.history.archive import Archive
from gptoss_tui.history.store import Store
from gptoss_tui.model.engine import Detail
from gptoss_tui.model.engine.fake import ABLE
from gptoss_tui.permissions.question import Nobody
from gptoss_tui.settings import Settings

THOUGHT = (
    "<|channel|>analysis<|message|>secret<|end|><|start|>assistant<|channel|>final<|message|>ok<|return|>"
)


async def play(session: Session, detail: Detail | None) -> list[Event]:
    return [event async for event in session.send("hi", detail=detail)]


def tokens(events: list[Event]) -> list[TokenSampled]:
    return [event for event in events if isinstance(event, TokenSampled)]


async def test_no_token_is_told_unasked(stage: Any) -> None:
    assert tokens(await play(stage(THOUGHT).session, None)) == []


async def test_every_token_is_told_with_its_channel(stage: Any, tokenizer: Any) -> None:
    sampled = tokens(await play(stage(THOUGHT).session, Detail.NONE))
    assert tokenizer.decode([token.id for token in sampled]) == THOUGHT
    read = {
        channel: tokenizer.decode([token.id for token in sampled if token.channel == channel])
        for channel in ("analysis", "final")
    }
    assert read == {"analysis": "secret<|end|>", "final": "ok<|return|>"}


async def test_what_the_engine_cannot_tell_is_named(stage: Any) -> None:
    s = stage(THOUGHT, abilities=replace(ABLE, alternatives=False, experts=False))
    events = await play(s.session, Detail.ALTERNATIVES | Detail.EXPERTS)
    assert [event.what for event in events if isinstance(event, EngineLacks)] == [("alternatives", "experts")]
    assert tokens(events)
    assert [request.detail for request in s.engine.requests] == [Detail.NONE]


class Allowing:
    """A filter that lets everything through."""

    patience = 5.0

    async def load(self) -> Any:
        return
        yield

    async def look(self, text: str, before: str) -> str | None:
        return text

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("policy", [ReasoningPolicy(hidden=True), ReasoningPolicy(judge=Allowing())])
async def test_what_is_hidden_or_judged_is_not_spelled_in_tokens(
    stage: Any, tokenizer: Any, policy: ReasoningPolicy
) -> None:
    sampled = tokens(await play(stage(THOUGHT, reasoning=policy).session, Detail.ALTERNATIVES))
    assert tokenizer.decode([token.id for token in sampled]) == "ok<|return|>"


async def test_citations_are_found_among_the_tokens(stage: Any) -> None:
    s = stage("<|channel|>final<|message|>as said【6†L9-L11】.<|return|>")
    events = await play(s.session, Detail.NONE)
    assert [event.delta for event in events if isinstance(event, Cited)] == ["【6†L9-L11】"]


async def test_ids_and_logprobs_fit_wherever_the_turn_is_left(stage: Any, tmp_path: Path) -> None:
    for count in range(1, 12):
        file = tmp_path / f"{count}.sqlite3"
        s = stage(THOUGHT, store=Store(file))
        async with aclosing(s.session.send("hi", detail=Detail.NONE)) as events:
            left = count
            async for event in events:
                left -= isinstance(event, TokenSampled)
                if not left:
                    break
        await s.session.runtime.recorder.save()
        (sample,) = Archive(file).read().sampled
        assert len(sample.ids) == len(sample.logprobs)


async def test_ids_and_logprobs_and_the_length_of_the_prompt_are_on_disk(stage: Any, tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite3"
    s = stage(THOUGHT, store=Store(file))
    sampled = tokens(await play(s.session, Detail.NONE))
    (stored,) = Archive(file).read(s.session.id).sampled
    assert stored.ids == tuple(token.id for token in sampled)
    assert stored.logprobs == pytest.approx([token.logprob for token in sampled], rel=1e-6)
    assert stored.prompt_tokens == len(s.engine.tokenizer.encode(s.engine.prompts[0], allowed_special="all"))


async def test_the_demo_model_tells_alternatives_and_experts(tmp_path: Path) -> None:
    """No part replaced: probabilities of a step add up, and experts are named for every layer."""
    settings = Settings(tools=(), seed=1, device="cpu", threads=1, max_tokens=12)
    session = open_session(settings, Nobody())
    try:
        events = await play(session, Detail.ALTERNATIVES | Detail.EXPERTS)
    finally:
        await session.runtime.close()
    sampled = tokens(events)
    assert sampled
    assert not any(isinstance(event, EngineLacks) for event in events)
    for token in sampled:
        known = dict(token.alternatives)
        assert 0 < sum(math.exp(logprob) for logprob in known.values()) <= 1 + 1e-4
        assert token.logprob <= max(known.values()) + 1e-5
        assert known.get(token.id, token.logprob) == pytest.approx(token.logprob, abs=1e-9)
        assert len({len(layer) for layer in token.experts}) == 1 and token.experts
