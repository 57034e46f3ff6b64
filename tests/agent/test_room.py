"""A full context ends no conversation: what cannot fit is refused before it is kept, the rest makes room."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import tiktoken

from gptoss_tui.agent.context import SHORTENED, SUMMARY_REQUEST
from gptoss_tui.agent.runtime import AgentError
from gptoss_tui.events.events import (
    Compacting,
    Completed,
    ContextCut,
    ContextRestored,
    Created,
    EngineLost,
    Event,
    Failed,
    Incomplete,
    ToolOutput,
)
from gptoss_tui.harmony.message import Channel, Message, Role
from gptoss_tui.history.store import Store
from gptoss_tui.model.engine import EngineDied, EngineError
from gptoss_tui.permissions.question import MakeRoom
from gptoss_tui.tools import Output, Reach, Risk, Tool

E = TypeVar("E", bound=Event)
StageMaker = Callable[..., Any]

ANSWER = "<|channel|>final<|message|>4<|return|>"
SUMMARY = "They counted to four.<|return|>"
CALL = '<|channel|>commentary to=functions.echo <|constrain|>json<|message|>{"text": "a"}<|call|>'
LONG = "a b " * 60
MORE = "c d " * 120
ABOUT = 30  # tokens: the header of the next message, in a tiny vocabulary


class Wordy(Tool):
    """Says much."""

    name = "functions.talk"
    description = "Talks."
    parameters: Mapping[str, Any] | None = {"type": "object"}

    def risk(self, arguments: str) -> Risk:
        return Risk(Reach.BOUNDED)

    async def call(self, arguments: str) -> AsyncGenerator[Output, None]:
        yield Output("x y " * 200)


def of(kind: type[E], events: list[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def said(stage: Any) -> list[str]:
    return [message.text for message in stage.session.conversation.messages]


async def filled(stage: Any) -> None:
    """Say long things until the message MORE does not fit any more."""
    engine = stage.engine
    count = 0
    while stage.session.context_used + len(engine.tokenizer.encode(MORE)) <= engine.context * 3 // 4:
        engine.scripts.append(ANSWER)
        assert isinstance((await stage.play(f"{count} {LONG}"))[-1], Completed)
        count += 1


async def command(events: Any) -> list[Event]:
    return [event async for event in events]


async def test_the_oldest_turns_are_left_out_and_nothing_is_lost(stage: StageMaker) -> None:
    s = stage(context=2000, context_full="drop")
    await filled(s)
    s.engine.scripts = [ANSWER]
    events = await s.play(MORE)
    (cut,) = of(ContextCut, events)
    assert isinstance(events[-1], Completed)
    assert cut.turns[0].startswith("0 a b a b")
    assert cut.messages == 2 * len(cut.turns)
    assert cut.after < 1250, "down to half of what is not instructions and tools"
    assert cut.before > 1500
    assert len(s.engine.requests[-1].prompt_ids) == pytest.approx(cut.after, abs=ABOUT)
    assert f"<|message|>0 {LONG}" not in s.engine.prompts[-1]
    assert said(s)[0] == f"0 {LONG}"
    assert "The history stays whole" in cut.sentence


async def test_room_is_made_in_big_steps(stage: StageMaker) -> None:
    """Whatever follows a change in the prompt must be read again: that must not be so at every turn."""
    s = stage(*[ANSWER] * 40, context=2000, context_full="drop")
    cuts = [bool(of(ContextCut, await s.play(f"{count} {LONG}"))) for count in range(40)]
    places = [count for count, is_cut in enumerate(cuts) if is_cut]
    assert len(places) >= 2
    assert min(after - before for before, after in itertools.pairwise(places)) >= 3


async def test_what_is_read_ahead_is_what_the_model_will_be_shown(stage: StageMaker) -> None:
    s = stage(context=2000, context_full="drop")
    await filled(s)
    s.engine.scripts = [ANSWER, ANSWER]
    assert of(ContextCut, await s.play(MORE))
    await s.session.settle()
    await s.play("short")
    ids = s.engine.ahead[-1]
    assert s.engine.requests[-1].prompt_ids[: len(ids)] == ids


async def test_nothing_is_read_ahead_that_room_will_be_made_in(stage: StageMaker) -> None:
    s = stage(ANSWER, context=20_000)
    await s.play(MORE)
    await s.session.settle()
    read = len(s.engine.ahead)
    s.engine.context = 700
    s.engine.scripts = [ANSWER]
    await command(s.session.equip())
    await s.session.settle()
    assert len(s.engine.ahead) == read


async def test_the_model_sums_up_the_oldest_turns(stage: StageMaker, echo: Any) -> None:
    """At low effort, without tools, and the summary stands where the turns stood."""
    s = stage(tools=[echo()], context=2200)
    await filled(s)
    s.engine.scripts = [SUMMARY, ANSWER]
    events = await s.play(MORE)
    (cut,) = of(ContextCut, events)
    asked, answered = s.engine.prompts[-2:]
    assert "Reasoning: low" in asked and "functions" not in asked.split("<|start|>user")[0]
    assert f"0 {LONG}" in asked and SUMMARY_REQUEST in asked
    assert asked.endswith("<|start|>assistant<|channel|>final<|message|>")
    assert cut.summary == "They counted to four."
    assert cut.turns[0].startswith("0 a b")
    assert of(Compacting, events)[0] == Compacting(len(cut.turns), 0)
    assert f"{SUMMARY_REQUEST}<|end|><|start|>assistant<|channel|>final<|message|>They counted" in answered
    assert f"0 {LONG}" not in answered and "Reasoning: medium" in answered
    assert said(s)[0] == f"0 {LONG}" and SUMMARY_REQUEST not in said(s)
    assert isinstance(events[-1], Completed)
    assert events[-1].usage.input_tokens == sum(len(request.prompt_ids) for request in s.engine.requests[-2:])


@pytest.mark.parametrize("script", ["<|return|>", [EngineError("no memory")]])
async def test_without_a_summary_the_turns_are_left_out(stage: StageMaker, script: Any) -> None:
    s = stage(context=1400)
    await filled(s)
    s.engine.scripts = [script, ANSWER]
    events = await s.play(MORE)
    (cut,) = of(ContextCut, events)
    assert cut.summary == "" and cut.turns
    assert "no summary" in cut.note
    assert isinstance(events[-1], Completed)


async def test_the_death_of_the_engine_in_a_summary_is_survived(stage: StageMaker) -> None:
    s = stage(context=1400)
    await filled(s)
    s.engine.scripts = [["They ", EngineDied("engine stopped")], SUMMARY, ANSWER]
    events = await s.play(MORE)
    assert of(EngineLost, events)
    assert of(ContextCut, events)[0].summary == "They counted to four."
    assert isinstance(events[-1], Completed)


async def test_esc_ends_a_summary_and_the_next_message_makes_room(stage: StageMaker) -> None:
    s = stage(context=2400)
    await filled(s)
    never = asyncio.Event()
    s.engine.scripts = [["They ", never], SUMMARY, SUMMARY, ANSWER]
    stopping: list[asyncio.Task[None]] = []
    events = []
    async for event in s.session.send(MORE):
        events.append(event)
        if isinstance(event, Compacting) and event.tokens:
            stopping.append(asyncio.ensure_future(s.session.stop()))
    assert isinstance(events[-1], Incomplete) and events[-1].reason == "interrupted"
    assert not of(ContextCut, events)
    assert said(s)[-1] == MORE
    assert of(ContextCut, await s.play("go on"))[0].summary == "They counted to four."


async def test_a_conversation_too_long_for_one_summary_is_summed_up_in_parts(stage: StageMaker) -> None:
    """As when it is taken up again with a smaller context."""
    s = stage(*[ANSWER] * 12, context=20_000)
    for count in range(12):
        await s.play(f"{count} {LONG}")
    s.engine.context = 1400
    s.engine.scripts = [*["Part.<|return|>"] * 8, ANSWER]
    events = await s.play("and now?")
    asked = [prompt for prompt in s.engine.prompts if "Reasoning: low" in prompt]
    assert len(asked) > 1
    assert all("assistant<|channel|>final<|message|>Part.<|end|>" in prompt for prompt in asked[1:])
    assert all(len(request.prompt_ids) < 1400 for request in s.engine.requests[12:])
    s.engine.scripts = s.engine.scripts[-1:]
    assert of(ContextCut, events)[0].summary == "Part."


@pytest.mark.parametrize("choice", list(MakeRoom))
async def test_the_person_is_asked_each_time(stage: StageMaker, somebody: Any, choice: MakeRoom) -> None:
    person = somebody(make_room=choice)
    s = stage(context=1400, context_full="ask", person=person)
    await filled(s)
    assert person.crowded == []
    s.engine.scripts = [SUMMARY, ANSWER] if choice is MakeRoom.COMPACT else [ANSWER]
    events = await s.play(MORE)
    (crowded,) = person.crowded
    assert crowded.turns >= 1 and crowded.tokens > crowded.most
    if choice is MakeRoom.STOP:
        assert isinstance(events[-1], Incomplete) and events[-1].reason == "context_full"
        assert not of(ContextCut, events)
    else:
        (cut,) = of(ContextCut, events)
        assert bool(cut.summary) == (choice is MakeRoom.COMPACT)
        assert isinstance(events[-1], Completed)


async def test_a_message_that_fits_no_prompt_is_refused_before_it_is_kept(
    stage: StageMaker, tmp_path: Path
) -> None:
    store = Store(tmp_path / "sessions.sqlite3")
    s = stage(ANSWER, ANSWER, store=store, context=1400)
    await s.play("one")
    huge = "word " * 2000
    (failed,) = of(Failed, events := await s.play(huge))
    assert failed.error.code == "context_full"
    assert "This message was not sent" in failed.error.message and "1,400" in failed.error.message
    assert not of(Created, events)
    assert huge not in said(s)
    stored = await store.read()
    assert stored is not None and [m.text for m in stored.messages] == ["one", "4"]
    assert isinstance((await s.play("two"))[-1], Completed)
    await s.session.runtime.close()


async def test_a_conversation_spoiled_by_a_huge_message_goes_on(stage: StageMaker) -> None:
    """Earlier versions kept it."""
    for policy in ("drop", "compact"):
        s = stage(SUMMARY, ANSWER, context=1400, context_full=policy)
        s.session.conversation.messages += [
            Message(Role.USER, "hello"),
            Message(Role.ASSISTANT, "hi", channel=Channel.FINAL),
            Message(Role.USER, "word " * 5000),
        ]
        s.engine.scripts = [SUMMARY, SUMMARY, ANSWER] if policy == "compact" else [ANSWER]
        events = await s.play("still there?")
        assert isinstance(events[-1], Completed)
        assert of(ContextCut, events)[0].messages == 3
        assert policy == "drop" or "characters left out" in s.engine.prompts[1]


async def test_old_outputs_go_before_turns_do(stage: StageMaker) -> None:
    s = stage(tools=[Wordy()], context=4000, context_full="drop")
    events: list[Event] = []
    count = 0
    while not of(ContextCut, events):
        s.engine.scripts = [CALL.replace("echo", "talk"), ANSWER]
        events = await s.play("again")
        count += 1
    cut = of(ContextCut, events)[0]
    assert (cut.turns, cut.outputs) == ((), count - 1)
    assert s.engine.prompts[-1].count(SHORTENED) == count - 1
    assert "old outputs of tools shortened" in cut.headline
    assert isinstance(events[-1], Completed)


async def test_an_output_is_cut_to_what_the_context_holds(
    stage: StageMaker, echo: Any, tokenizer: tiktoken.Encoding
) -> None:
    text = "".join(chr(0x4E00 + place % 2000) for place in range(3000))
    s = stage(CALL.replace('"a"', f'"{text}"'), ANSWER, tools=[echo()], context=20_000)
    s.session.load()
    (output,) = of(ToolOutput, await s.play("go"))
    assert len(tokenizer.encode_ordinary(output.output)) <= 5_000
    assert "characters left out" in output.output
    assert output.output.endswith(text[-100:] + '"}')
    assert output.output.startswith('got {"text": "' + text[:100])


async def test_a_turn_that_fills_the_context_by_its_calls_goes_on(stage: StageMaker, echo: Any) -> None:
    """Its older outputs are shortened; its oldest calls are left out when that does not do any more."""
    calls = [CALL.replace('"a"', f'"{count} {"x " * 60}"') for count in range(25)]
    s = stage(*calls, ANSWER, ANSWER, tools=[echo()], context=2400, context_full="drop")
    events = await s.play("go on and on")
    assert isinstance(events[-1], Completed)
    cuts = of(ContextCut, events)
    assert cuts[0].outputs and any(cut.messages for cut in cuts)
    for prompt in s.engine.prompts:
        assert "<|message|>go on and on<|end|>" in prompt
        assert prompt.count("<|call|>") == prompt.count("<|start|>functions.echo to=assistant")
    assert isinstance((await s.play("and then?"))[-1], Completed)


async def test_a_call_that_fills_the_context_itself_is_followed_by_the_answer(
    stage: StageMaker, echo: Any
) -> None:
    call = CALL.replace('"a"', f'"{"x " * 500}"')
    s = stage(call, "four<|return|>", tools=[echo()], context=1700)
    events = await s.play("go")
    assert s.engine.prompts[-1].endswith("<|start|>assistant<|channel|>final<|message|>")
    assert "asked for its answer" in of(ContextCut, events)[0].note
    assert isinstance(events[-1], Completed) and events[-1].output_text == "four"


async def test_a_summary_on_demand_and_back(stage: StageMaker) -> None:
    s = stage(ANSWER, ANSWER, SUMMARY, ANSWER, ANSWER)
    with pytest.raises(AgentError, match="nothing to sum up"):
        await command(s.session.compact())
    await s.play("one")
    await s.play("two")
    (cut,) = of(ContextCut, await command(s.session.compact("keep the numbers")))
    assert "keep the numbers" in s.engine.prompts[-1]
    assert cut.turns == ("one", "two") and cut.messages == 4
    assert s.session.context_used == pytest.approx(cut.after, abs=ABOUT)
    await s.play("three")
    assert "one" not in s.engine.prompts[-1].partition("<|start|>user")[2]
    (restored,) = of(ContextRestored, await command(s.session.uncompact()))
    assert restored.messages == 4
    await s.play("four")
    assert "<|message|>one<|end|>" in s.engine.prompts[-1] and "counted" not in s.engine.prompts[-1]
    with pytest.raises(AgentError, match="nothing to take back"):
        await command(s.session.uncompact())


async def test_what_fills_the_context_adds_up(stage: StageMaker, echo: Any) -> None:
    s = stage(CALL, ANSWER, SUMMARY, "<|channel|>analysis<|message|>hm hm<|end|>", tools=[echo()])
    await s.play("one")
    usage = await s.session.context_usage()
    assert usage.tools and usage.turns and usage.outputs and not usage.summary and not usage.reasoning
    assert "tool outputs" in "\n".join(usage.lines())
    await command(s.session.compact())
    usage = await s.session.context_usage()
    assert (usage.turns, usage.outputs, usage.hidden) == (0, 0, 4)
    assert usage.summary
    assert usage.total == pytest.approx(s.session.context_used, abs=ABOUT)


async def test_the_gauge_is_right_when_a_conversation_is_taken_up(stage: StageMaker, tmp_path: Path) -> None:
    file = tmp_path / "sessions.sqlite3"
    s = stage(ANSWER, store=Store(file))
    await s.play(LONG)
    used = s.session.context_used
    await s.session.runtime.close()
    s = stage(store=Store(file), resume="")
    await command(s.session.load())
    assert s.session.context_used == pytest.approx(used, abs=ABOUT)
    await s.session.runtime.close()


async def test_a_cut_outlives_the_program_and_so_does_taking_it_back(
    stage: StageMaker, tmp_path: Path
) -> None:
    file = tmp_path / "sessions.sqlite3"

    async def next_prompt(resume: str | None, *scripts: Any, undo: bool = False) -> str:
        s = stage(*scripts, store=Store(file), resume=resume)
        if undo:
            await command(s.session.load())
            await command(s.session.uncompact())
        events = await s.play("and?")
        assert isinstance(events[-1], Completed)
        await s.session.runtime.close()
        return str(s.engine.prompts[-1])

    s = stage(ANSWER, ANSWER, SUMMARY, ANSWER, store=Store(file))
    await s.play("one")
    await s.play("two")
    (cut,) = of(ContextCut, await command(s.session.compact()))
    await s.play("three")
    await s.session.runtime.close()

    again = stage(store=Store(file), resume="")
    await command(again.session.load())
    past = again.session.past()
    assert [text for text, _ in past] == ["one", "two", "three"], "the history is whole"
    (shown_again,) = of(ContextCut, past[1][1])
    assert (shown_again.turns, shown_again.summary) == (cut.turns, cut.summary)
    assert (shown_again.before, shown_again.after) == (cut.before, cut.after)
    await again.session.runtime.close()

    prompt = await next_prompt("", ANSWER)
    assert "They counted" in prompt and "<|message|>one<|end|>" not in prompt
    prompt = await next_prompt("", ANSWER, undo=True)
    assert "They counted" not in prompt and "<|message|>one<|end|>" in prompt
    prompt = await next_prompt("", ANSWER)
    assert "They counted" not in prompt and "<|message|>one<|end|>" in prompt


async def test_a_second_window_goes_on_with_the_same_cut(stage: StageMaker, tmp_path: Path) -> None:
    file = tmp_path / "sessions.sqlite3"
    s = stage(ANSWER, SUMMARY, store=Store(file))
    await s.play("one")
    await command(s.session.compact())
    for resume in ("", ""):
        copy = stage(ANSWER, store=Store(file), resume=resume)
        await copy.play("and?")
        assert "They counted" in copy.engine.prompts[-1]
        await copy.session.runtime.close()
    await s.session.runtime.close()
