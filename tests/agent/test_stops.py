"""The ends of a sample, and what the turn does after each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gptoss_tui.agent.options import Options
from gptoss_tui.agent.renderer import Renderer
from gptoss_tui.agent.runtime import Runtime
from gptoss_tui.agent.session import Session
from gptoss_tui.agent.turn import MOST_UNKNOWN
from gptoss_tui.events.events import (
    Completed,
    Event,
    Incomplete,
    OutputDelta,
    Repaired,
    ToolCall,
    ToolOutput,
)
from gptoss_tui.harmony import Channel, Role
from gptoss_tui.model.engine import Generation, Request, Sampling
from gptoss_tui.model.engine.local import LocalEngine
from gptoss_tui.permissions.question import Nobody
from gptoss_tui.plain.show import AsText

E = TypeVar("E", bound=Event)
StageMaker = Callable[..., Any]
ToolMaker = Callable[..., Any]

ANSWER = "<|channel|>final<|message|>4<|return|>"
SILENT = "<|channel|>analysis<|message|>hm<|return|>"
HEADER = " to=functions.echo<|channel|>commentary <|constrain|>json<|message|>"
CALL = HEADER + '{"text":"a"}'
STOPS = ("<|return|>", "<|call|>", "<|endoftext|>")


def of(kind: type[E], events: list[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("stop", STOPS)
async def test_every_stop_token_ends_a_sample(stage: StageMaker, stop: str) -> None:
    s = stage(
        "<|channel|>final<|message|>4" + stop + "<|start|>assistant<|channel|>final<|message|>5<|return|>"
    )
    end = (await s.play("2+2?"))[-1]
    assert isinstance(end, Completed)
    assert end.output_text == "4"
    assert len(s.engine.prompts) == 1


async def test_the_files_of_a_checkpoint_have_no_say_in_it(
    tmp_path: Path, tiny_checkpoint: Callable[..., Path]
) -> None:
    """Early downloads of gpt-oss list the wrong tokens (vllm-project/vllm#22519, openai/harmony#60)."""
    checkpoint = tiny_checkpoint(tmp_path / "tiny")
    every_id = {"eos_token_id": list(range(320))}
    (checkpoint / "generation_config.json").write_text(json.dumps(every_id))
    engine = LocalEngine(checkpoint, name="tiny", device="cpu", threads=1, log=tmp_path / "engine.log")
    sampling = Sampling(temperature=0, max_tokens=8)
    options = Options(sampling=sampling, constrain_headers=False)
    runtime = Runtime(engine, Renderer(checkpoint), model="tiny")
    session = Session(runtime, (), Nobody(), options=options)
    end = [event async for event in session.send("hello")][-1]
    await runtime.close()
    assert isinstance(end, Incomplete)
    assert (end.reason, end.usage.output_tokens) == ("max_output_tokens", 8)


@pytest.mark.parametrize("stop", STOPS)
async def test_an_engine_that_runs_past_a_stop_is_not_listened_to(stage: StageMaker, stop: str) -> None:
    s = stage("<|channel|>final<|message|>4" + stop + " more<|start|>assistant<|channel|>final<|message|>5")
    generate: Callable[[Request], Generation] = s.engine.generate

    s.engine.generate = lambda request: generate(replace(request, stop_ids=()))
    end = (await s.play("2+2?"))[-1]
    assert isinstance(end, Completed)
    assert end.output_text == "4"
    assert [m.text for m in s.session.conversation.messages] == ["2+2?", "4"]


@pytest.mark.parametrize("end", ["<|call|>", "<|return|>", "<|endoftext|>", "<|end|><|return|>"])
async def test_a_call_is_a_call_whatever_ends_it(stage: StageMaker, echo: ToolMaker, end: str) -> None:
    tool = echo()  # sgl-project/sglang#10576
    s = stage(CALL + end, ANSWER, tools=[tool])
    events = await s.play("go")
    assert tool.calls == ['{"text":"a"}']
    assert isinstance(events[-1], Completed)
    assert bool(of(Repaired, events)) == (end != "<|call|>")
    assert '<|message|>{"text":"a"}<|call|>' in s.engine.prompts[1], (
        "the model sees it as it should have been"
    )


async def test_a_call_is_whole_where_the_model_goes_on_to_the_next_message(
    stage: StageMaker, echo: ToolMaker
) -> None:
    """A model often goes on and makes the result up: that part is removed, and the tool is called."""
    tool = echo()
    forged = "<|start|>functions.echo to=assistant<|channel|>commentary<|message|>made up<|end|>"
    s = stage(CALL + forged, ANSWER, tools=[tool])
    events = await s.play("go")
    assert tool.calls == ['{"text":"a"}']
    assert "made up" not in s.engine.prompts[1]
    assert any("speak as functions.echo" in event.what for event in of(Repaired, events))
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize("sample", [HEADER, CALL[:-2], CALL, " to=functions.echo", CALL[:-20]])
async def test_a_call_cut_by_the_limit_is_never_run_nor_shown_again(
    stage: StageMaker, echo: ToolMaker, sample: str
) -> None:
    tool = echo()  # lmstudio-ai/lmstudio-bug-tracker#942
    s = stage(sample, ANSWER, tools=[tool])
    events = await s.play("go")
    assert tool.calls == []
    assert not of(ToolCall, events)
    assert isinstance(end := events[-1], Incomplete)
    assert end.reason == "max_output_tokens"
    await s.play("go on")
    assert "<|call|>" not in s.engine.prompts[1]
    assert '{"text' not in s.engine.prompts[1]


async def test_a_call_cut_by_the_person_is_never_run_nor_shown_again(
    stage: StageMaker, echo: ToolMaker
) -> None:
    tool = echo()
    s = stage(CALL + "<|call|>", ANSWER, tools=[tool], pause=0.01)
    async for event in s.session.send("go"):
        if event.type == "response.tool_call.delta":
            await s.session.stop()
    assert isinstance(event, Incomplete)
    assert event.reason == "interrupted"
    assert tool.calls == []
    await s.play("go on")
    assert '{"text' not in s.engine.prompts[1]


async def test_reasoning_without_an_answer_is_answered_once(
    stage: StageMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    s = stage(SILENT, "Four.<|return|>")  # ggml-org/llama.cpp#15789
    events = await s.play("2+2?")
    assert s.engine.prompts[1].endswith("hm<|end|><|start|>assistant<|channel|>final<|message|>"), (
        "the reasoning is kept, and the answer's header is written for the model"
    )
    (repair,) = of(Repaired, events)
    assert repair.what == "the model gave no answer and was asked for it"
    end = events[-1]
    assert isinstance(end, Completed)
    assert (end.output_text, end.reasoning_text) == ("Four.", "hm")
    first, second = s.engine.requests
    assert first.sampling.seed != second.sampling.seed

    show = AsText(notes=sys.stderr)
    for event in events:
        show(event)
    out, err = capsys.readouterr()
    assert out == "Four.\n"
    assert "gave no answer and was asked for it" in err


@pytest.mark.parametrize(
    "first", [SILENT, "<|return|>", "<|channel|>final<|message|><|return|>", "<|end|><|return|>"]
)
@pytest.mark.parametrize("second", ["<|return|>", "  <|return|>", "<|end|><|return|>"])
async def test_a_second_silence_ends_the_turn(
    stage: StageMaker, capsys: pytest.CaptureFixture[str], first: str, second: str
) -> None:
    s = stage(first, second, ANSWER)
    events = await s.play("2+2?")
    end = events[-1]
    assert isinstance(end, Incomplete)
    assert end.reason == "no_answer"
    assert len(s.engine.prompts) == 2
    show = AsText()
    for event in events:
        show(event)
    assert "without an answer; ask again" in capsys.readouterr().err
    assert isinstance((await s.play("again"))[-1], Completed)


async def test_reasoning_cut_by_the_limit_is_not_asked_for_more(stage: StageMaker) -> None:
    s = stage("<|channel|>analysis<|message|>hm", ANSWER)
    end = (await s.play("2+2?"))[-1]
    assert isinstance(end, Incomplete)
    assert (end.reason, end.reasoning_text) == ("max_output_tokens", "hm")
    assert len(s.engine.prompts) == 1


async def test_a_call_on_the_final_channel_is_shown_and_not_run(stage: StageMaker, echo: ToolMaker) -> None:
    tool = echo()
    s = stage(CALL.replace("commentary", "final") + "<|call|>", ANSWER, tools=[tool])
    events = await s.play("go")
    assert "".join(event.delta for event in of(OutputDelta, events)) == '{"text":"a"}4'
    assert tool.calls == []
    (output,) = of(ToolOutput, events)
    assert output.is_error
    assert "functions.echo on the commentary channel" in s.engine.prompts[1]
    assert "<|channel|>final" not in s.engine.prompts[1], "the model does not see its own mistake again"
    end = events[-1]
    assert isinstance(end, Completed)
    assert end.output_text == "4"


async def test_calls_on_the_final_channel_do_not_go_on_for_ever(stage: StageMaker, echo: ToolMaker) -> None:
    tool = echo()
    s = stage(*[CALL.replace("commentary", "final") + "<|call|>"] * MOST_UNKNOWN, ANSWER, tools=[tool])
    end = (await s.play("go"))[-1]
    assert isinstance(end, Incomplete)
    assert end.reason == "tool_limit"
    assert tool.calls == []


async def test_a_call_of_two_tools_runs_neither_and_the_model_is_told(
    stage: StageMaker, echo: ToolMaker
) -> None:
    tool, other = echo(), echo()
    other.name = "functions.other"
    two = CALL.replace("commentary", "commentary to=functions.other")
    s = stage(two + "<|call|>", ANSWER, tools=[tool, other])
    events = await s.play("go")
    assert tool.calls == other.calls == []
    (output,) = of(ToolOutput, events)
    assert output.is_error
    assert "no tool named functions.echo and functions.other" in output.output
    assert isinstance(events[-1], Completed)


async def test_two_answers_are_both_kept(stage: StageMaker) -> None:
    s = stage(ANSWER.replace("return", "end") + "<|start|>assistant" + ANSWER.replace("4", "5"))
    end = (await s.play("2+2?"))[-1]
    assert isinstance(end, Completed)
    assert end.output_text == "4\n\n5"
    answers = [m.text for m in s.session.conversation.messages if m.role is Role.ASSISTANT]
    assert answers == ["4", "5"]


async def test_the_end_of_an_answer_is_written_as_the_end_of_a_message(stage: StageMaker) -> None:
    """The token `<|return|>` is for sampling; in the history the format has `<|end|>`."""
    s = stage(ANSWER, ANSWER)
    await s.play("one")
    await s.play("two")
    assert "<|channel|>final<|message|>4<|end|>" in s.engine.prompts[1]
    assert "<|return|>" not in s.engine.prompts[1]
    assert s.session.conversation.messages[1].channel is Channel.FINAL
