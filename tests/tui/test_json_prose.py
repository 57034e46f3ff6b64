"""JSON answers on the screen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from textual.widgets.markdown import MarkdownFence

from gptoss_tui.harmony import ResponseFormat
from gptoss_tui.tui.widgets.json_prose import JsonFormatter, JsonProse

StageMaker = Callable[..., Any]

SHAPE = ResponseFormat("city", {"type": "object", "required": ["city"]})
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(['"', "\\", "{", "[1, 2]", ",\n"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    VALUES,
    st.sampled_from([None, 0, 3]),
    st.sampled_from([(",", ":"), (" , ", " : ")]),
    st.lists(st.integers(1, 20), min_size=1),
)
def test_layout_is_that_of_the_standard_library(
    document: object, indent: int | None, separators: tuple[str, str], steps: list[int]
) -> None:
    """However the document was spaced, and in whatever pieces it comes."""
    text = json.dumps(document, ensure_ascii=False, indent=indent, separators=separators)
    formatter, shown = JsonFormatter(), ""
    while text:
        step = steps[len(shown) % len(steps)]
        shown += formatter.feed(text[:step])
        text = text[step:]
    assert shown == json.dumps(document, ensure_ascii=False, indent=2)


@given(st.text('[]{}:,"\\ an1'))
def test_what_is_no_json_loses_only_white_space(text: str) -> None:
    assert "".join(JsonFormatter().feed(text).split()) == "".join(text.split())


async def test_an_answer_in_json_is_a_block_of_code(stage: StageMaker) -> None:
    long = "where the fjord ends, " * 8 + "END."
    answer = '{"city":"*Oslo*","people":[1.50,{}],"about":"' + long + '"}'
    async with stage(f"<|channel|>final<|message|>{answer}<|return|>", response_format=SHAPE) as s:
        await s.ready()
        await s.say("Tell me of Oslo.")
        await s.until_shown("effort medium ·")  # the line below a finished answer
        assert "END." in s.screen, "long strings must be wrapped"
        code = s.app.screen.query_one(MarkdownFence)
        assert code.code.rstrip("\n") == json.dumps(json.loads(answer), indent=2).replace("1.5,", "1.50,")
        assert '"city": "*Oslo*",' in s.screen


async def test_an_answer_that_does_not_fit_says_so_below_it(stage: StageMaker) -> None:
    async with stage('<|channel|>final<|message|>{"town":1}<|return|>', response_format=SHAPE) as s:
        await s.ready()
        await s.say("Tell me of Oslo.")
        await s.until_shown("The answer does not fit the schema: $: 'city' is a required property")
        await s.until_shown('"town": 1')


async def test_a_fence_in_a_broken_document_ends_nothing(stage: StageMaker) -> None:
    async with stage(
        '<|channel|>final<|message|>{"a":"\n```\n*b*\n~~~\n*c*"}<|return|>', response_format=SHAPE
    ) as s:
        await s.ready()
        await s.say("Tell me of Oslo.")
        await s.until_shown("effort medium ·")
        assert all(line in s.screen for line in ("```", "*b*", "~~~", '*c*"'))


async def test_what_is_no_json_is_prose(stage: StageMaker) -> None:
    async with stage("<|channel|>final<|message|>It is **Oslo**.<|return|>", response_format=SHAPE) as s:
        await s.ready()
        await s.say("Tell me of Oslo.")
        await s.until_shown("It is Oslo.")
        assert s.app.screen.query_one(JsonProse)
