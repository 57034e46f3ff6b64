"""Reasoning on the screen: folded, hidden, open, and filtered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.agent.filters.function import FunctionFilter
from gptoss_tui.agent.reasoning import LABEL, NOT_JUDGED, WITHHELD
from gptoss_tui.history.store import Store

StageMaker = Callable[..., Any]

GOOD = "The person greets me, and I could greet back in a friendly and well-considered manner, at length. "
BAD = "Their password is hunter2, which the developer message told me and which nobody else may ever know. "
THOUGHT = f"<|channel|>analysis<|message|>{GOOD}{BAD}<|end|><|start|>assistant"
ANSWER = "<|channel|>final<|message|>Hello.<|return|>"


async def asked(s: Any) -> None:
    await s.ready()
    await s.say("hi")
    await s.until_shown("effort medium ·")


async def test_folded_reasoning_is_labelled_before_and_after_it_is_opened(stage: StageMaker) -> None:
    async with stage(THOUGHT + ANSWER) as s:
        await asked(s)
        assert f"▸ {LABEL} · " in s.screen
        assert "hunter2" not in s.screen
        await s.pilot.press("ctrl+t")
        await s.until_shown("hunter2")
        assert f"▾ {LABEL} · " in s.screen


async def test_raw_reasoning_is_open_from_the_start(stage: StageMaker) -> None:
    thought = "".join(f"step {number}\n" for number in range(1, 13))
    async with stage(f"<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant{ANSWER}") as s:
        await asked(s)
        assert "step 12" not in s.screen
    async with stage(
        f"<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant{ANSWER}", reasoning="raw"
    ) as s:
        await asked(s)
        assert f"▾ {LABEL} · " in s.screen
        assert "step 1\n" in s.screen and "step 12" in s.screen, "the whole, not its tail"
        await s.pilot.press("ctrl+t")
        await s.until_shown(f"▸ {LABEL}")


@pytest.mark.parametrize("how", ["key", "command", "command with a view", "click"])
async def test_hidden_reasoning_cannot_be_opened(stage: StageMaker, how: str) -> None:
    async with stage(THOUGHT + ANSWER, reasoning="hidden") as s:
        await asked(s)
        assert "· reasoning hidden · " in s.screen
        assert " tokens" in s.screen
        match how:
            case "key":
                await s.pilot.press("ctrl+t")
            case "command":
                await s.say("/thinking")
            case "command with a view":
                await s.say("/thinking full")
            case "click":
                await s.pilot.click("ReasoningPane .summary")
        if how != "click":
            await s.until_shown("there is nothing")
        await s.pilot.pause(0.2)
        assert "hunter2" not in s.screen
        assert not any(
            "hunter2" in str(widget.__dict__)
            for widget in s.app.screen.query("ReasoningPane, ReasoningPane *")
        )


async def test_hidden_reasoning_shows_that_the_model_is_thinking(stage: StageMaker) -> None:
    async with stage(THOUGHT + ANSWER, pause=0.02, reasoning="hidden") as s:
        await s.ready()
        await s.say("hi")
        await s.until_shown("● thinking")
        await s.until_shown("· reasoning hidden · ")
        await s.pilot.press("escape")
        await s.until_shown("Stopped.")


@pytest.mark.parametrize("reasoning", ["folded", "hidden"])
async def test_copy_gives_the_answer_alone(stage: StageMaker, reasoning: str) -> None:
    async with stage(THOUGHT + ANSWER, reasoning=reasoning) as s:
        await asked(s)
        await s.say("/copy")
        await s.until(lambda: s.app.clipboard)
        assert s.app.clipboard == "Hello."


async def test_a_resumed_conversation_obeys(stage: StageMaker, tmp_path: Path) -> None:
    store = Store(tmp_path / "kept.sqlite3")
    async with stage(THOUGHT + ANSWER, store=store) as s:
        await asked(s)
    store = Store(tmp_path / "kept.sqlite3")
    async with stage(store=store, resume="", reasoning="hidden") as s:
        await s.ready()
        assert "Hello." in s.screen
        await s.pilot.press("ctrl+t")
        await s.until_shown("there is nothing")
        assert "hunter2" not in s.screen and LABEL not in s.screen
    store = Store(tmp_path / "kept.sqlite3")
    async with stage(store=store, resume="", reasoning="raw") as s:
        await s.ready()
        assert "hunter2" in s.screen
    store = Store(tmp_path / "kept.sqlite3")
    judge = FunctionFilter(_file(tmp_path, "def look(text): return text"), "look")
    async with stage(store=store, resume="", reasoning="raw", judge=judge) as s:
        await s.ready()
        assert NOT_JUDGED in s.screen and "hunter2" not in s.screen


async def test_a_filter_redacts_before_anything_is_drawn(stage: StageMaker, tmp_path: Path) -> None:
    judge = FunctionFilter(_file(tmp_path, "def look(text): return text.replace('hunter2', '███')"), "look")
    async with stage(THOUGHT + ANSWER, reasoning="raw", judge=judge) as s:
        await asked(s)
        assert "Their password is ███" in s.screen
        assert "hunter2" not in s.screen


async def test_a_filter_that_fails_is_told_once_and_the_answer_comes(
    stage: StageMaker, tmp_path: Path
) -> None:
    judge = FunctionFilter(_file(tmp_path, "def look(text): raise OSError('no disk')"), "look")
    async with stage(THOUGHT + ANSWER, reasoning="raw", judge=judge) as s:
        await asked(s)
        assert "! The reasoning filter failed, so a passage is withheld: it raised OSError." in s.screen
        assert s.screen.count("reasoning filter failed") == s.screen.count(WITHHELD) == 1
        assert s.screen.count(LABEL) == 1, "the notice does not tear the pane in two"
        assert "Hello." in s.screen


def _file(folder: Path, source: str) -> Path:
    file = folder / "filter.py"
    file.write_text(source)
    return file
