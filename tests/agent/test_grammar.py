"""The skeleton of a sample against an acceptor of its own, over the real vocabulary and the real parser."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest
import tiktoken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_tui.agent.grammar import grammar
from gptoss_tui.harmony import Channel, Closed, Conversation, Message, Parser, Repair, ResponseFormat, Role
from gptoss_tui.harmony.render import render, render_message
from gptoss_tui.harmony.vocabulary import ControlTokens
from gptoss_tui.model.constraint import END, Constraint, Edge
from gptoss_tui.training.dialogues import invent_dialogue, invent_setting
from gptoss_tui.training.dialogues.turn import unmarked

WEATHER, PYTHON = "functions.get_weather", "python"
TOOLS = frozenset({WEATHER, "functions.get_weather_tomorrow", PYTHON})
CITY = ResponseFormat("city", {"type": "object", "required": ["city"]})


def accepts(constraint: Constraint, tokenizer: tiktoken.Encoding, ids: list[int]) -> bool:
    """True if `constraint` allows a whole sample, by a naive reading of its definition."""
    specials = {tokenizer.encode_single_token(name) for name in tokenizer.special_tokens_set}
    at, written = constraint.start, b""
    for token in ids:
        if at == END:
            return False
        if token not in specials:
            written += tokenizer.decode_single_token_bytes(token)
            continue
        state = constraint.states[at]
        if state.body == "json" and not _fits(written, state.schema):
            return False
        ways = [
            edge.to
            for edge in state.edges
            if edge.control == token and (state.body != "none" or edge.text.encode() == written)
        ]
        if len(ways) != 1:
            return False
        at, written = ways[0], b""
    return at == END


def _fits(written: bytes, schema: str) -> bool:
    try:
        jsonschema.validate(json.loads(written), json.loads(schema))
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


@pytest.fixture
def control(o200k: tiktoken.Encoding) -> ControlTokens:
    return ControlTokens.of(o200k)


@pytest.fixture
def constraint(control: ControlTokens) -> Constraint:
    constraint = grammar(control, TOOLS)
    assert constraint is not None
    assert constraint.strict
    return constraint


BODY = st.text(max_size=30) | st.sampled_from(["<|end|>", "<|start|>user<|message|>x", "💖"])
ASIDE = st.builds(
    Message, st.just(Role.ASSISTANT), BODY, channel=st.sampled_from([Channel.ANALYSIS, Channel.COMMENTARY])
)
CALL = st.builds(
    Message,
    st.just(Role.ASSISTANT),
    BODY,
    channel=st.sampled_from([Channel.ANALYSIS, Channel.COMMENTARY]),
    recipient=st.sampled_from(sorted(TOOLS)),
    content_type=st.sampled_from([None, "code", "json", "<|constrain|>json"]),
)
ANSWER = st.builds(
    Message,
    st.just(Role.ASSISTANT),
    BODY,
    channel=st.just(Channel.FINAL),
    content_type=st.sampled_from([None, "json", "<|constrain|>json"]),
)
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def sampled(tokenizer: tiktoken.Encoding, messages: list[Message]) -> list[int]:
    """The sample that writes `messages`: rendered, without the tokens of the prompt; an answer returns."""
    control = ControlTokens.of(tokenizer)
    ids = [token for message in messages for token in render_message(message, tokenizer)]
    prompt = render(Conversation(), tokenizer)[-2:]
    assert ids[:2] == prompt
    ending = control.return_ if messages[-1].channel is Channel.FINAL else ids[-1]
    return [*ids[2:-1], control.call if messages[-1].recipient else ending]


@given(asides=st.lists(ASIDE, max_size=3), last=CALL | ANSWER)
@RELAXED
def test_what_is_rendered_is_accepted(
    o200k: tiktoken.Encoding, constraint: Constraint, asides: list[Message], last: Message
) -> None:
    assert accepts(constraint, o200k, sampled(o200k, [*asides, last]))


def test_the_demo_model_was_taught_nothing_else(o200k: tiktoken.Encoding, control: ControlTokens) -> None:
    rng = random.Random(7)
    for _ in range(200):
        setting = invent_setting(rng)
        recipients = ["python"] if setting.system.python else []
        recipients += ["browser.search", "browser.open", "browser.find"] if setting.system.browser else []
        recipients += [function.recipient for function in setting.functions]
        constraint = grammar(control, recipients)
        assert constraint is not None
        sample: list[Message] = []
        for message in invent_dialogue(rng, setting).turn.messages:
            if message.role is Role.ASSISTANT:
                sample.append(unmarked(message))
            if message.recipient or message.channel is Channel.FINAL:
                assert accepts(constraint, o200k, sampled(o200k, sample))
                sample = []


@given(data=st.data(), channel=st.sampled_from([None, *Channel]), tools=st.sampled_from([TOOLS, frozenset()]))
@RELAXED
def test_what_is_accepted_needs_no_repair(
    o200k: tiktoken.Encoding,
    control: ControlTokens,
    data: Any,
    channel: Channel | None,
    tools: frozenset[str],
) -> None:
    """The parser reads any walk through the skeleton, in any tokens that spell it, without a repair."""
    constraint = grammar(control, tools, channel=channel)
    assert constraint is not None
    parser = Parser(o200k, recipients=tools, channel=channel)
    pieces, ids, at = [], [], constraint.start
    for _ in range(24):
        if at == END:
            break
        state = constraint.states[at]
        edge = data.draw(st.sampled_from(state.edges))
        ordinary = st.integers(0, o200k.eot_token - 100)
        spelt = data.draw(st.lists(ordinary, max_size=4) if state.body == "any" else spellings(o200k, edge))
        ids += [*spelt, edge.control]
        at = edge.to
    for token in ids:
        pieces += parser.feed(token)
    assert not [piece for piece in pieces if isinstance(piece, Repair)]
    assert {piece.ending for piece in pieces if isinstance(piece, Closed)} <= {"end", "call", "return"}
    messages = [piece.message for piece in pieces if isinstance(piece, Closed)]
    assert {message.recipient for message in messages} <= tools | {None}
    assert parser.ended == (at == END)
    if at == END:
        assert accepts(constraint, o200k, ids)
        assert messages[-1].channel is Channel.FINAL or messages[-1].recipient


def spellings(tokenizer: tiktoken.Encoding, edge: Edge) -> st.SearchStrategy[list[int]]:
    """The edge's text as the tokenizer writes it, or byte by byte."""
    return st.sampled_from(
        [
            tokenizer.encode_ordinary(edge.text),
            [tokenizer.encode_single_token(bytes([byte])) for byte in edge.text.encode()],
        ]
    )


@pytest.mark.parametrize(
    "text",
    [
        f"<|channel|>commentary to={WEATHER} <|constrain|>json<|message|>{{}}<|call|>",
        f"<|channel|>commentary to={WEATHER}<|message|>{{}}<|call|>",
        "<|channel|>analysis to=python code<|message|>1<|call|>",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
        "<|channel|>final <|constrain|>json<|message|>{}<|return|>",
    ],
)
def test_what_models_write_is_accepted(o200k: tiktoken.Encoding, constraint: Constraint, text: str) -> None:
    assert accepts(constraint, o200k, o200k.encode(text, allowed_special="all"))


@pytest.mark.parametrize(
    "text",
    [
        "<|channel|>commentary?<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>x<|return|>",
        "<|channel|>analysisanalysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>x<|return|>",
        "<|channel|>final to=python<|message|>1<|call|>",
        "<|channel|>commentary to=functions.get<|message|>{}<|call|>",
        "<|channel|>commentary to=functions.get_weather?<|message|>{}<|call|>",
        f" to={WEATHER}<|channel|>commentary to={WEATHER}<|message|>{{}}<|call|>",
        f" to={WEATHER}json<|channel|>commentary<|message|>{{}}<|call|>",
        f" to={WEATHER}<|channel|>commentary<|message|>{{}}<|return|>",
        "<|channel|>commentary to=container.exec code<|message|>1<|call|>",
        "<|channel|>commentary<|message|>1<|call|>",
        "<|channel|>analysis<|message|>hm<|channel|>final<|message|>x<|return|>",
        "<|channel|>analysis<|message|>hm<|return|>",
        "<|channel|>analysis<|message|>hm<|end|><|start|>user<|message|>x<|return|>",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistantfinal<|message|>y<|return|>",
        "<|channel|>analysis<|message|>hm<|end|>so<|start|>assistant<|channel|>final<|message|>y<|return|>",
        "<|channel|>final<|message|>a<|message|>b<|return|>",
        "<|channel|>final<|message|>x<|endoftext|>",
        "<|channel|><|message|>x<|return|>",
        "Hello.<|return|>",
        "<|return|>",
    ],
)
def test_what_is_malformed_is_not(o200k: tiktoken.Encoding, constraint: Constraint, text: str) -> None:
    """Malformed outputs that have been seen in the wild; without a constraint the parser mends them."""
    assert not accepts(constraint, o200k, o200k.encode(text, allowed_special="all"))


def test_without_tools_nobody_is_addressed(o200k: tiktoken.Encoding, control: ControlTokens) -> None:
    constraint = grammar(control, ())
    assert constraint is not None
    assert not [edge for state in constraint.states for edge in state.edges if "to=" in edge.text]
    assert accepts(
        constraint, o200k, o200k.encode("<|channel|>final<|message|>4<|return|>", allowed_special="all")
    )


@pytest.mark.parametrize(
    ("header", "body", "fits"),
    [
        ("<|channel|>final<|message|>", '{"city": "Oslo"}', True),
        ("<|channel|>final <|constrain|>json<|message|>", ' {"city": "Oslo"}\n', True),
        ("<|channel|>final json<|message|>", '{"town": "Oslo"}', False),
        ("<|channel|>final<|message|>", "Oslo", False),
        ("<|channel|>final<|message|>", '{"city": "Oslo"} I hope', False),
        (
            "<|channel|>analysis<|message|>Which city?<|end|><|start|>assistant<|channel|>final<|message|>",
            "{}",
            False,
        ),
        (
            "<|channel|>analysis<|message|>Which?<|end|><|start|>assistant<|channel|>final<|message|>",
            '{"city": 1}',
            True,
        ),
    ],
)
def test_only_the_answer_is_held_to_the_schema(
    o200k: tiktoken.Encoding, control: ControlTokens, header: str, body: str, fits: bool
) -> None:
    constraint = grammar(control, TOOLS, CITY)
    assert constraint is not None
    ids = o200k.encode(f"{header}{body}<|return|>", allowed_special="all")
    assert accepts(constraint, o200k, ids) == fits
    call = "<|channel|>commentary to=python code<|message|>not json<|call|>"
    assert accepts(constraint, o200k, o200k.encode(call, allowed_special="all"))


def test_a_header_in_the_prompt_is_behind_the_sample(
    o200k: tiktoken.Encoding, control: ControlTokens
) -> None:
    constraint = grammar(control, TOOLS, CITY, channel=Channel.FINAL)
    assert constraint is not None
    assert accepts(constraint, o200k, o200k.encode('{"city": 1}<|return|>', allowed_special="all"))
    assert not accepts(constraint, o200k, o200k.encode("Oslo<|return|>", allowed_special="all"))


def test_without_strict_headers_only_a_schema_is_enforced(control: ControlTokens) -> None:
    assert grammar(control, TOOLS, strict=False) is None
    constraint = grammar(control, TOOLS, CITY, strict=False)
    assert constraint is not None
    assert not constraint.strict
    assert constraint.restart == control.start
    assert [state.body for state in constraint.states].count("json") == 1
