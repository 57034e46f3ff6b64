"""Answers as JSON: the schema is read, the model asked for its shape, and a mismatch reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.agent.response_format import LARGEST, mismatch, read_response_format
from gptoss_tui.agent.runtime import AgentError
from gptoss_tui.assemble.assemble import open_session
from gptoss_tui.events.events import Completed, Incomplete
from gptoss_tui.harmony import Channel, ResponseFormat
from gptoss_tui.history.store import Store
from gptoss_tui.settings import Settings, SettingsError

StageMaker = Callable[..., Any]

CITY: dict[str, Any] = {
    "title": "A city, and its people",
    "description": "What is known\nof a city.",
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}
SHAPE = ResponseFormat("city", CITY, "A city.")
ANSWER = "<|channel|>final<|message|>{}<|return|>"
FITS = '{"name": "Oslo", "people": 700000}'


def write(folder: Path, schema: object, name: str = "city.json") -> Path:
    file = folder / name
    file.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return file


def test_a_schema_names_itself(tmp_path: Path) -> None:
    shape = read_response_format(write(tmp_path, CITY))
    assert shape == ResponseFormat("A_city_and_its_people", CITY, CITY["description"])
    assert read_response_format(write(tmp_path, {"type": "object"}, "my city.v2.json")).name == "my_city_v2"
    assert read_response_format(write(tmp_path, {"title": "東京"}, "東京.json")).name == "answer"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b'{"type": "obj\xff"}', "not UTF-8"),
        (b'{"type": ', "cannot be read as JSON"),
        (b'{"minimum": NaN}', "NaN"),
        (b'{"minimum": 1e999}', "cannot be read as JSON"),
        (b'{"const": "\\ud800"}', "cannot be read as JSON"),
        (b"[" * 50_000, "nested too deeply"),
        (b"true", "object"),
        (b"[]", "object"),
        (b'{"type": "strin"}', "$.type"),
        (b'{"properties": {"a": {"minimum": "0"}}}', "$.properties.a.minimum"),
        (b'{"pattern": "("}', "$.pattern"),
        (b'{"$schema": 7}', "$schema"),
        (b" " * LARGEST + b"{}", f"{LARGEST:,}"),
        (b'{"properties": {"a": {"if": {"const": 1}, "then": {"multipleOf": 2}}}}', "if"),
    ],
)
def test_a_schema_that_cannot_be_used(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """The error is one sentence that names the file and the trouble, also from Python."""
    file = tmp_path / "shape.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        read_response_format(file)
    assert reason in str(refused.value)
    assert str(refused.value).startswith(f"{file}: ")
    assert "\n" not in str(refused.value)
    with pytest.raises(AgentError) as not_opened:
        open_session(Settings(schema=file), person=None)  # type: ignore[arg-type]
    assert str(not_opened.value) == str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (FITS, ""),
        (f"\n {FITS} \n", ""),
        ("Oslo", "$: cannot be read as JSON"),
        ("", "$: cannot be read as JSON"),
        (f"{FITS}\n\n{FITS}", "$: cannot be read as JSON"),
        ('{"name": NaN}', "$: cannot be read as JSON"),
        ('{"name": "Oslo", "people": -1}', "$.people: -1"),
        ('{"people": 1}', "$: 'name' is a required property"),
        ("[" * 50_000, "$: cannot be read as JSON"),
        ('{"people": ' + "9" * 5_000 + "}", "$: cannot be read as JSON"),
    ],
)
def test_why_an_answer_does_not_fit(text: str, why: str) -> None:
    reason = mismatch(text, SHAPE)
    assert reason.startswith(why) if why else not reason


async def test_the_model_is_asked_for_the_shape_and_held_to_it(stage: StageMaker) -> None:
    s = stage(ANSWER.format(FITS), response_format=SHAPE)
    done = (await s.play("Tell me of Oslo."))[-1]
    assert isinstance(done, Completed)
    assert done.output_text == FITS
    assert "# Response Formats\n\n## city\n\n// A city.\n{" in s.engine.prompts[0]
    bodies = [state for state in s.engine.requests[0].constraint.states if state.body == "json"]
    assert [json.loads(body.schema) for body in bodies] == [CITY]


async def test_an_answer_that_does_not_fit_is_kept_and_told(stage: StageMaker) -> None:
    s = stage(ANSWER.format('{"name": 7}'), response_format=SHAPE)
    done = (await s.play("Tell me of Oslo."))[-1]
    assert isinstance(done, Incomplete)
    assert (done.reason, done.output_text) == ("schema_mismatch", '{"name": 7}')
    assert done.detail == "$.name: 7 is not of type 'string'"
    assert s.session.conversation.messages[-1].text == '{"name": 7}'


async def test_the_answer_that_had_to_be_asked_for_is_held_to_it_too(stage: StageMaker) -> None:
    thought = "<|channel|>analysis<|message|>hm<|return|>"
    s = stage(thought, f"{FITS}<|return|>", response_format=SHAPE)
    assert isinstance((await s.play("Tell me of Oslo."))[-1], Completed)
    second = s.engine.requests[1].constraint
    assert second.states[second.start].body == "json"


async def test_a_cut_answer_is_cut_and_not_malformed(stage: StageMaker) -> None:
    s = stage('<|channel|>final<|message|>{"name": "Os', response_format=SHAPE)
    done = (await s.play("Tell me of Oslo."))[-1]
    assert isinstance(done, Incomplete)
    assert done.reason == "max_output_tokens"


async def test_headers_are_held_to_unless_that_is_off(stage: StageMaker, echo: Any) -> None:
    s = stage(ANSWER.format("4"), tools=[echo()])
    await s.play("2+2?")
    constraint = s.engine.requests[0].constraint
    assert constraint.strict
    assert any("functions.echo" in edge.text for state in constraint.states for edge in state.edges)
    free = stage(ANSWER.format("4"), constrain_headers=False)
    await free.play("2+2?")
    assert free.engine.requests[0].constraint is None
    only_the_answer = stage(ANSWER.format(FITS), constrain_headers=False, response_format=SHAPE)
    await only_the_answer.play("Tell me of Oslo.")
    assert not only_the_answer.engine.requests[0].constraint.strict


async def test_a_resumed_conversation_gets_the_shape_of_its_settings(
    stage: StageMaker, tmp_path: Path
) -> None:
    file = tmp_path / "s.sqlite3"
    await stage(ANSWER.format("Oslo."), store=Store(file)).play("The capital of Norway?")
    s = stage(ANSWER.format(FITS), store=Store(file), resume="", response_format=SHAPE)
    async for _ in s.session.load():
        pass
    done = (await s.play("Tell me of it."))[-1]
    assert isinstance(done, Completed)
    assert "## city" in s.engine.prompts[0]
    assert "Oslo." in s.engine.prompts[0]
    assert s.session.conversation.messages[1].channel is Channel.FINAL
