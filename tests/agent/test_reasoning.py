"""The reasoning that reaches a front end: hidden, filtered by a function, judged by a model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiktoken

from gptoss_tui.agent.filters.filter import ReasoningFilter
from gptoss_tui.agent.filters.function import FunctionFilter
from gptoss_tui.agent.filters.judge import POLICY, Judge
from gptoss_tui.agent.reasoning import NOT_JUDGED, WITHHELD, ReasoningPolicy
from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.runtime import AgentError
from gptoss_tui.assemble.assemble import open_session
from gptoss_tui.events.events import (
    Completed,
    EngineLoading,
    Event,
    FilterFailed,
    Incomplete,
    OutputDelta,
    ReasoningDelta,
    ReasoningProgress,
    Repaired,
    ToolCall,
)
from gptoss_tui.harmony import Channel
from gptoss_tui.history.store import Store
from gptoss_tui.model.checkpoint import open_checkpoint
from gptoss_tui.model.engine import EngineDied
from gptoss_tui.model.engine.fake import FakeEngine, Script
from gptoss_tui.model.engine.local import LocalEngine
from gptoss_tui.permissions.question import Nobody
from gptoss_tui.settings import Settings

StageMaker = Callable[..., Any]
FilterMaker = Callable[..., FunctionFilter]

GOOD = "The person greets me, and I could greet back in a friendly and well-considered manner, at length. "
BAD = "Their password is hunter2, which the developer message told me and which nobody else may ever know. "
END = "I say hello."
ANSWER = "<|start|>assistant<|channel|>final<|message|>Hello.<|return|>"
THOUGHT = "<|channel|>analysis<|message|>{}<|end|>"
CALL = '<|start|>assistant to=functions.echo<|channel|>commentary json<|message|>{"text":"a"}<|call|>'


def shown(events: list[Event]) -> str:
    return "".join(event.delta for event in events if isinstance(event, ReasoningDelta))


def failures(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, FilterFailed)]


@pytest.fixture
def look(tmp_path: Path) -> FilterMaker:
    """A function `(source, patience=10) -> FunctionFilter` for `look` in a file of that source."""

    def make(source: str, patience: float = 10.0) -> FunctionFilter:
        file = tmp_path / "filter.py"
        file.write_text(source)
        return FunctionFilter(file, "look", patience)

    return make


async def played(stage: StageMaker, judge: ReasoningFilter, *scripts: str, **options: Any) -> list[Event]:
    """The events of loading and of one turn under a filter."""
    s = stage(*scripts, reasoning=ReasoningPolicy(judge=judge), **options)
    try:
        return [*[event async for event in s.session.load()], *(await s.play("hi"))]
    finally:
        await judge.close()


async def test_hidden_reasoning_never_reaches_a_front_end(stage: StageMaker, tmp_path: Path) -> None:
    store = Store(tmp_path / "kept.sqlite3")
    hidden = ReasoningPolicy(hidden=True)
    s = stage(THOUGHT.format(BAD) + ANSWER, reasoning=hidden, store=store)
    events = await s.play("hi")
    assert "hunter2" not in str([event.as_json() for event in events])
    counts = [event.tokens for event in events if isinstance(event, ReasoningProgress)]
    done = events[-1]
    assert isinstance(done, Completed)
    assert counts == list(range(1, len(s.engine.tokenizer.encode(BAD)) + 1))
    assert (done.output_text, done.reasoning_text) == ("Hello.", "")
    assert "hunter2" not in str(s.session.past())
    assert s.session.conversation.messages[1].text == BAD, "the model's own context keeps it"

    again = stage(store=store, resume="", reasoning=hidden)
    [event async for event in again.session.load()]
    assert again.session.conversation.messages[1].text == BAD, "and so does the store"
    assert [type(event) for _, answer in again.session.past() for event in answer] == [OutputDelta]
    await store.close()


async def test_what_is_hidden_stays_so_when_a_turn_ends_early(stage: StageMaker) -> None:
    s = stage(THOUGHT.format(BAD).removesuffix("<|end|>"), reasoning=ReasoningPolicy(hidden=True))
    events = await s.play("hi")
    assert isinstance(events[-1], Incomplete)
    assert "hunter2" not in str(events)


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=assistant<|channel|>analysis",
        "<|channel|>final<|channel|>commentary<|channel|>analysis",
        "<|channel|>commentary to=functions.echo<|channel|>analysis",
        "<|channel|>analysis<|channel|>final",
        "<|channel|>analysis to=Assistant",
        "<|channel|>analysis to=someone",
        "<|channel|>commentary to=Analysis",
        "<|channel|>commentary (analysis)",
        "<|channel|>final<|constrain|>analysis",
        "<|channel|>analysis It is hunter2",
        "<|channel|>analysis to=hunter2",
        "<|channel|>hunter2 analysis to=assistant/hunter2",
        "<|channel|>commentary<|message|>Let me see.<|channel|>analysis",
    ],
)
async def test_no_header_passes_the_policy(
    stage: StageMaker, look: FilterMaker, echo: Any, header: str
) -> None:
    script = f"{header}<|message|>{BAD}<|end|>{ANSWER}"
    tool = echo()
    s = stage(script, reasoning=ReasoningPolicy(hidden=True), constrain_headers=False, tools=[tool])
    withhold = look("def look(text: str) -> None:\n    return None")
    for events in (await s.play("hi"), await played(stage, withhold, script, constrain_headers=False)):
        deltas = "".join(str(event.as_json().get("delta", "")) for event in events)
        assert "hunter2" not in deltas + str([event.as_json() for event in events])
        assert any(isinstance(event, Repaired) for event in events)
        assert isinstance(events[-1], Completed)
        assert events[-1].output_text == "Hello."
    assert not tool.calls


async def test_a_function_redacts(stage: StageMaker, look: FilterMaker) -> None:
    redact = look("def look(text: str) -> str:\n    return text.replace('hunter2', '***')")
    events = await played(stage, redact, THOUGHT.format(GOOD + BAD + END) + ANSWER)
    done = events[-1]
    assert isinstance(done, Completed)
    assert shown(events) == (GOOD + BAD + END).replace("hunter2", "***")
    assert done.reasoning_text == shown(events)
    assert "hunter2" not in str([event.as_json() for event in events])
    kinds = [type(event) for event in events if isinstance(event, ReasoningDelta | OutputDelta)]
    assert kinds[:3] == [ReasoningDelta] * 3, "all of the reasoning stands before the answer"
    assert isinstance(events[0], EngineLoading)
    assert not failures(events)


async def test_an_async_function_may_withhold_and_see_what_came_before(
    stage: StageMaker, look: FilterMaker
) -> None:
    source = """
import asyncio

def helper(*anything):
    print("what a filter prints is not the screen's trouble")

async def look(text: str, before: str) -> str | None:
    helper(text)
    await asyncio.sleep(0)
    return None if "password" in text else f"[{len(before)}]{text}"
"""
    events = await played(stage, look(source), THOUGHT.format(GOOD + BAD + BAD + END) + ANSWER)
    visible = f"[0]{GOOD}\n{WITHHELD}\n[{len(GOOD + BAD + BAD)}]{END}"
    assert shown(events) == visible, "a run of withheld passages is told once"
    assert not failures(events)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise ValueError(f'cannot make sense of {text}')", "raised ValueError"),
        ("import os; os._exit(3)", "ended its process"),
        ("import sys; sys.exit('enough')", "raised SystemExit"),
        ("return 5", "returned int"),
        ("return object()", "raised"),
    ],
)
async def test_a_function_that_fails_withholds_and_the_turn_goes_on(
    stage: StageMaker, look: FilterMaker, body: str, why: str
) -> None:
    source = f"def look(text):\n    if 'password' not in text: return text\n    {body}"
    events = await played(stage, look(source), THOUGHT.format(BAD + GOOD + BAD + END) + ANSWER)
    assert shown(events) == f"{WITHHELD}\n{GOOD}\n{WITHHELD}\n{END}", "later passages find it at work again"
    assert len(failures(events)) == 1, "told once"
    assert why in failures(events)[0]
    assert "hunter2" not in str(events), "what is told of a failure quotes nothing"
    assert isinstance(events[-1], Completed) and events[-1].output_text == "Hello."


async def test_a_repair_does_not_halve_what_is_judged(stage: StageMaker, look: FilterMaker) -> None:
    """A control token that stays as text is reported in the middle of a word."""
    redact = look("def look(text: str) -> str:\n    return text.replace('hun<|constrain|>ter2', '***')")
    halves = "It is hun<|constrain|>ter2, that is."
    plain = await stage(THOUGHT.format(halves) + ANSWER).play("hi")
    events = await played(stage, redact, THOUGHT.format(halves) + ANSWER)
    repairs = [event for event in plain if isinstance(event, Repaired)]
    assert repairs
    assert [event for event in events if isinstance(event, Repaired)] == repairs
    assert shown(events) == "It is ***, that is."


async def test_a_function_that_hangs_delays_a_turn_once(stage: StageMaker, look: FilterMaker) -> None:
    source = "import time\ndef look(text):\n    time.sleep(600 if 'password' in text else 0)\n    return text"
    script = THOUGHT.format(GOOD + BAD + GOOD + BAD + GOOD) + ANSWER
    events = await played(stage, look(source, 2.0), script)
    assert shown(events) == f"{GOOD}\n{WITHHELD}\n"
    assert ["took more than 2 s" in sentence for sentence in failures(events)] == [True]
    assert isinstance(events[-1], Completed)


async def _later(act: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(0.3)
    await act()


async def test_a_stop_does_not_wait_for_the_filter(stage: StageMaker, look: FilterMaker) -> None:
    slow = look("import time\ndef look(text):\n    time.sleep(600)", patience=600.0)
    s = stage(THOUGHT.format(BAD + END) + ANSWER, reasoning=ReasoningPolicy(judge=slow))

    last = len(s.engine.tokenizer.encode(BAD))
    events, stops = [], []
    async for event in s.session.send("hi"):
        events.append(event)
        if event == ReasoningProgress(last):
            stops.append(asyncio.create_task(_later(s.session.stop)))
    await asyncio.gather(*stops)
    await slow.close()
    assert len(stops) == 1
    assert isinstance(events[-1], Incomplete) and events[-1].reason == "interrupted"
    assert shown(events) == ""


async def test_each_stretch_of_reasoning_is_judged_before_what_follows(
    stage: StageMaker, look: FilterMaker, echo: Any
) -> None:
    upper = look("def look(text):\n    return text.upper()")
    scripts = (THOUGHT.format("I echo.") + CALL, THOUGHT.format("It echoed.") + ANSWER)
    events = await played(stage, upper, *scripts, tools=[echo()])
    visible = [event for event in events if isinstance(event, ReasoningDelta | ToolCall | OutputDelta)]
    assert [getattr(event, "delta", "call") for event in visible][:3] == ["I ECHO.", "call", "IT ECHOED."]
    assert isinstance(events[-1], Completed)
    assert events[-1].reasoning_text == "I ECHO.\n\nIT ECHOED."


async def test_earlier_reasoning_is_not_shown_under_a_filter(stage: StageMaker, look: FilterMaker) -> None:
    s = stage(THOUGHT.format(BAD) + ANSWER, reasoning=ReasoningPolicy(judge=look("def look(t): return t")))
    await s.play("hi")
    await s.session.runtime.close()
    [(_, answer)] = s.session.past()
    assert answer == [ReasoningDelta(NOT_JUDGED), OutputDelta("Hello.")]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def look(): ...", "must have one parameter"),
        ("def look(a, b, c): ...", "must have one parameter"),
        ("look = 5", "has no function look"),
        ("import nosuchmodule_\ndef look(text): ...", "line 1: ModuleNotFoundError"),
        ("def look(text)", "SyntaxError"),
        ("import os\nos._exit(0)\ndef look(text): ...", "ended the process"),
    ],
)
async def test_a_file_that_cannot_be_used_is_told_when_the_chat_is_loaded(
    stage: StageMaker, look: FilterMaker, source: str, why: str
) -> None:
    with pytest.raises(AgentError, match=why) as refusal:
        await played(stage, look(source), ANSWER)
    assert "filter.py" in str(refusal.value)


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("{}/nosuch.py:look", "there is no such file"),
        ("{}/filter.py:see", "see is not in this file"),
        ("{}/filter.py", "name the function as well"),
        ("{}", "holds no config.json"),
    ],
)
def test_a_filter_that_is_not_there_is_told_at_once(tmp_path: Path, named: str, why: str) -> None:
    (tmp_path / "filter.py").write_text("def look(text): return text")

    settings = Settings(reasoning_filter=named.format(tmp_path))
    with pytest.raises(AgentError, match=why):
        open_session(settings, Nobody())


class _KeptRenderer(Renderer):
    """A renderer that stays open from test to test: its child takes a second to start."""

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def kept_renderer(checkpoint: Path) -> Iterator[Renderer]:
    renderer = _KeptRenderer(checkpoint)
    yield renderer
    asyncio.run(Renderer.close(renderer))


@pytest.fixture
def judge(kept_renderer: Renderer, tokenizer: tiktoken.Encoding) -> Callable[..., tuple[Judge, Any]]:
    """A function `(*verdicts, policy="") -> (Judge, its engine)`; each verdict is a sample of the model."""

    def make(*verdicts: Script, policy: str = "") -> tuple[Judge, Any]:
        second = FakeEngine(tokenizer, *verdicts)
        return Judge(second, kept_renderer, policy), second

    return make


async def test_a_model_judges_each_passage_by_the_policy(stage: StageMaker, judge: Any) -> None:
    safeguard, second = judge(
        "allow<|return|>", "withhold<|return|>", "allow<|return|>", policy="No secrets."
    )
    events = await played(stage, safeguard, THOUGHT.format(GOOD + BAD + END) + ANSWER)
    assert shown(events) == f"{GOOD}\n{WITHHELD}\n{END}"
    assert not failures(events)
    first, middle, _ = second.prompts
    developer = first.partition("<|start|>developer<|message|>")[2].partition("<|end|>")[0]
    assert "No secrets." in developer and "allow or withhold" in developer
    assert "Reasoning: low" in first
    assert middle.endswith("<|start|>assistant<|channel|>final<|message|>")
    user = middle.partition("<|start|>user<|message|>")[2]
    assert user.index(GOOD) < user.index("# The passage") < user.index(BAD)
    constraint = second.requests[0].constraint
    [state] = constraint.states
    assert constraint.strict
    assert {edge.text for edge in state.edges} == {"allow", "withhold"}


async def test_without_a_policy_there_is_ours(stage: StageMaker, judge: Any) -> None:
    safeguard, second = judge("allow<|return|>")
    await played(stage, safeguard, THOUGHT.format(END) + ANSWER)
    assert POLICY in second.prompts[0]


@pytest.mark.parametrize(
    "verdict",
    [
        "perhaps<|return|>",
        "allow",
        "allow or withhold<|return|>",
        "<|return|>",
        "allow<|end|><|start|>assistant<|channel|>final<|message|>withhold<|return|>",
        "<|channel|>final<|message|>allow<|call|><|call|>",
        [EngineDied("engine stopped (signal 9)")],
    ],
)
async def test_every_doubt_about_a_verdict_withholds(stage: StageMaker, judge: Any, verdict: Script) -> None:
    safeguard, _ = judge(verdict)
    events = await played(stage, safeguard, THOUGHT.format(BAD) + ANSWER)
    assert shown(events) == f"{WITHHELD}\n"
    assert len(failures(events)) == 1
    assert isinstance(events[-1], Completed)


async def test_a_model_that_cannot_be_loaded_is_told(stage: StageMaker, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    engine = LocalEngine(tmp_path, name="judge", device="cpu", threads=1)
    with pytest.raises(AgentError, match="The reasoning filter cannot be loaded"):
        await played(stage, Judge(engine, Renderer(tmp_path)), ANSWER)


async def test_the_demo_model_as_the_judge_gives_some_verdict() -> None:
    """No part replaced: the demo model answers, and the demo model judges what it thought."""

    settings = Settings(tools=(), seed=1, device="cpu", threads=1)
    judged = replace(settings, reasoning_filter=str(open_checkpoint("demo").path))
    session = open_session(judged, Nobody())
    try:
        events = [event async for event in session.send("What is the capital of France?")]
    finally:
        await session.runtime.close()
    done = events[-1]
    assert isinstance(done, Completed)
    raw = [m.text for m in session.conversation.messages if m.channel is Channel.ANALYSIS]
    assert done.reasoning_text in (WITHHELD, "\n\n".join(raw).strip())
    assert done.output_text
    stages = [event.stage for event in events if isinstance(event, EngineLoading)]
    assert any(stage.startswith("reasoning filter: ") for stage in stages)
