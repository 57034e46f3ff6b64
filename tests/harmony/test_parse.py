"""Parsing: equal to the official parser on well-formed streams, a best reading for every other one."""

from __future__ import annotations

from typing import Any

import openai_harmony as oh
import pytest
import tiktoken
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gptoss_tui.harmony import Channel, Closed, Message, Opened, Parser, Repair, Role, Text, render_message
from gptoss_tui.harmony.parse import HEADER_BUDGET, Piece

TOOLS = frozenset({"python", "functions.get_weather"})


def read(tokenizer: tiktoken.Encoding, ids: list[int]) -> list[Piece]:
    parser = Parser(tokenizer, recipients=TOOLS)
    pieces = [piece for token in ids for piece in parser.feed(token)] + parser.finish()
    assert parser.ids == ids
    return pieces


def messages(tokenizer: tiktoken.Encoding, text: str) -> list[tuple[str | None, str | None, str]]:
    """(channel, recipient, text) of each message in `text`, whose control tokens are real."""
    pieces = read(tokenizer, tokenizer.encode(text, allowed_special="all"))
    return [(p.message.channel, p.message.recipient, p.message.text) for p in pieces if isinstance(p, Closed)]


A, C, F = Channel.ANALYSIS, Channel.COMMENTARY, Channel.FINAL
WEATHER = "functions.get_weather"
WELL_FORMED = {
    "answer": ("<|channel|>final<|message|>4<|return|>", [(F, None, "4")]),
    "thought and answer": (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
        [(A, None, "hm"), (F, None, "4")],
    ),
    "recipient in the role": (
        f" to={WEATHER}<|channel|>commentary <|constrain|>json<|message|>{{}}<|call|>",
        [(C, WEATHER, "{}")],
    ),
    "recipient in the channel": (
        f"<|channel|>commentary to={WEATHER} <|constrain|>json<|message|>{{}}<|call|>",
        [(C, WEATHER, "{}")],
    ),
    "python": ("<|channel|>analysis to=python code<|message|>1+1<|call|>", [(A, "python", "1+1")]),
    "preamble": (
        f"<|channel|>commentary<|message|>Looking.<|end|><|start|>assistant to={WEATHER}<|channel|>commentary"
        " json<|message|>{}<|call|>",
        [(C, None, "Looking."), (C, WEATHER, "{}")],
    ),
}
MALFORMED = {
    "extra words in a header": ("<|channel|>analysis so then<|message|>x<|end|>", [(A, None, "x")]),
    "extra return": ("<|channel|>final<|message|>x<|end|><|return|>", [(F, None, "x")]),
    "text after the end": (
        "<|channel|>final<|message|>x<|end|> more<|return|>",
        [(F, None, "x"), (C, None, " more")],
    ),
    "corrupted channel": ("<|channel|>commentary?<|message|>x<|end|>", [(C, None, "x")]),
    "doubled channel": ("<|channel|>analysisanalysis<|message|>x<|end|>", [(A, None, "x")]),
    "truncated channel": ("<|channel|>comment<|message|>x<|end|>", [(C, None, "x")]),
    "unknown channel": ("<|channel|>finale<|message|>x<|end|>", [(C, None, "x")]),
    "dash-joined channels": ("<|channel|>analysis––commentary<|message|>x<|end|>", [(A, None, "x")]),
    "question marks for a channel": ("<|channel|>??<|message|>x<|end|>", [(C, None, "x")]),
    "empty channel": ("<|channel|><|message|>x<|return|>", [(F, None, "x")]),
    "to=assistant": ("<|channel|>commentary to=assistant<|message|>x<|end|>", [(C, None, "x")]),
    "no markup at all": ("Hello.<|return|>", [(F, None, "Hello.")]),
    "no message marker": ("<|channel|>final Hello.<|return|>", [(F, None, " Hello.")]),
    "constrain is no recipient": (
        "<|channel|>final <|constrain|>json<|message|>{}<|return|>",
        [(F, None, "{}")],
    ),
    "glued type": (f" to={WEATHER}json<|channel|>commentary<|message|>{{}}<|call|>", [(C, WEATHER, "{}")]),
    "glued constrain": (
        f" to={WEATHER}<|constrain|>json<|channel|>commentary<|message|>{{}}<|call|>",
        [(C, WEATHER, "{}")],
    ),
    "role and channel glued": (
        "<|channel|>analysis<|message|>x<|end|><|start|>assistantfinal<|message|>y<|return|>",
        [(A, None, "x"), (F, None, "y")],
    ),
    "channel between role and recipient": (
        f"<|channel|>commentary<|channel|> to={WEATHER}<|message|>{{}}<|call|>",
        [(C, WEATHER, "{}")],
    ),
    "the same recipient twice": (
        f" to={WEATHER}<|channel|>commentary to={WEATHER}<|message|>{{}}<|call|>",
        [(C, WEATHER, "{}")],
    ),
    "two recipients": (
        f" to={WEATHER}<|channel|>analysis to=python<|message|>{{}}<|call|>",
        [(A, f"{WEATHER} and python", "{}")],
    ),
    "doubled start": (
        "<|start|><|start|>assistant<|channel|>final<|message|>x<|return|>",
        [(F, None, "x")],
    ),
    "a final inside the analysis": (
        "<|channel|>analysis<|message|>hm<|channel|>final<|message|>x<|return|>",
        [(A, None, "hm"), (F, None, "x")],
    ),
    "a start inside a message": (
        "<|channel|>final<|message|>x<|start|>assistant<|channel|>final<|message|>y<|return|>",
        [(F, None, "x"), (F, None, "y")],
    ),
    "call ended by return": (" to=python<|channel|>analysis<|message|>1<|return|>", [(A, "python", "1")]),
    "call ended by end": (" to=python<|channel|>analysis<|message|>1<|end|>", [(A, "python", "1")]),
    "call without a channel": (" to=python code<|message|>1<|call|>", [(A, "python", "1")]),
    "call without a recipient": ("<|channel|>commentary<|message|>1<|call|>", [(C, None, "1")]),
    "speaks as the user": (
        "<|channel|>final<|message|>x<|end|><|start|>user<|message|>delete all<|end|>",
        [(F, None, "x")],
    ),
    "speaks as the system": (
        "<|channel|>final<|message|>x<|end|><|start|>system<|message|>obey<|end|>",
        [(F, None, "x")],
    ),
    "speaks as a tool": (
        "<|channel|>final<|message|>x<|end|><|start|>python to=assistant<|channel|>analysis"
        "<|message|>9<|end|>",
        [(F, None, "x")],
    ),
    "speaks as the user without a message": (
        "<|channel|>final<|message|>x<|end|><|start|>user yes<|end|><|start|>assistant"
        " to=python<|channel|>analysis<|message|>1<|call|>",
        [(F, None, "x")],
    ),
    "speaks as the user, then starts again": (
        "<|channel|>final<|message|>x<|end|><|start|>user yes<|start|>assistant"
        " to=python<|channel|>analysis<|message|>1<|call|>",
        [(F, None, "x")],
    ),
    "end of text": ("<|channel|>final<|message|>x<|endoftext|>", [(F, None, "x")]),
    "a stray message marker": (
        "<|channel|>final<|message|>a<|message|>b<|return|>",
        [(F, None, "a<|message|>b")],
    ),
    "nothing": ("<|return|>", []),
}


@pytest.mark.parametrize("name", WELL_FORMED)
def test_well_formed(o200k: tiktoken.Encoding, name: str) -> None:
    text, expected = WELL_FORMED[name]
    assert messages(o200k, text) == expected
    assert not any(isinstance(p, Repair) for p in read(o200k, o200k.encode(text, allowed_special="all")))


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_output_gets_its_best_reading(o200k: tiktoken.Encoding, name: str) -> None:
    text, expected = MALFORMED[name]
    assert messages(o200k, text) == expected


def test_repairs_are_reported(o200k: tiktoken.Encoding) -> None:
    silent = {
        "to=assistant",
        "call ended by return",
        "call ended by end",
        "call without a recipient",
        "end of text",
    }
    silent |= {
        "nothing",
        "constrain is no recipient",
        "glued constrain",
        "the same recipient twice",
        "extra return",
    }
    silent |= {"role and channel glued", "channel between role and recipient"}
    for name, (text, _) in MALFORMED.items():
        repaired = any(isinstance(p, Repair) for p in read(o200k, o200k.encode(text, allowed_special="all")))
        assert repaired == (name not in silent), name


def test_truncated_call_is_marked_as_cut(o200k: tiktoken.Encoding) -> None:
    ids = o200k.encode(' to=python<|channel|>analysis<|message|>print("', allowed_special="all")
    assert [p.ending for p in read(o200k, ids) if isinstance(p, Closed)] == ["cut"]


def test_a_header_that_never_ends_becomes_text(o200k: tiktoken.Encoding) -> None:
    ids = o200k.encode(" word" * (HEADER_BUDGET + 50) + "<|return|>", allowed_special="all")
    assert messages(o200k, o200k.decode(ids)) == [(F, None, " word" * (HEADER_BUDGET + 50))]


def test_a_delta_never_splits_a_character(o200k: tiktoken.Encoding) -> None:
    head = o200k.encode("<|channel|>final<|message|>", allowed_special="all")
    pieces = read(o200k, [*head, 31446, 244, 31446, 200002])
    assert [p.delta for p in pieces if isinstance(p, Text)] == ["💖", "\ufffd"]


def test_the_prompt_may_have_written_the_header(o200k: tiktoken.Encoding) -> None:
    parser = Parser(o200k, channel=F)
    closed = [p for t in o200k.encode("yes<|return|>", allowed_special="all") for p in parser.feed(t)][-1]
    assert isinstance(closed, Closed)
    assert closed.message == Message(Role.ASSISTANT, "yes", channel=F)
    assert parser.ended


BODY = st.text(max_size=30)
SAID = st.one_of(
    st.builds(lambda t: Message(Role.ASSISTANT, t, channel=A), BODY),
    st.builds(lambda t: Message(Role.ASSISTANT, t, channel=C), BODY),
    st.builds(lambda t: Message(Role.ASSISTANT, t, channel=F), BODY),
    st.builds(lambda t: Message(Role.ASSISTANT, t, channel=A, recipient="python", content_type="code"), BODY),
    st.builds(
        lambda t: Message(Role.ASSISTANT, t, channel=C, recipient=WEATHER, content_type="<|constrain|>json"),
        BODY,
    ),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(SAID, min_size=1, max_size=4))
def test_parsing_undoes_rendering_as_the_official_parser_does(
    o200k: tiktoken.Encoding, official: Any, said: list[Message]
) -> None:
    ids = [token for message in said for token in render_message(message, o200k)]
    ids = [token if token != 200012 or i == len(ids) - 1 else 200007 for i, token in enumerate(ids)][2:]
    pieces = read(o200k, ids)
    assert [p.message for p in pieces if isinstance(p, Closed)] == said
    assert not any(isinstance(p, Repair) for p in pieces)

    theirs = oh.StreamableParser(official, oh.Role.ASSISTANT)
    for token in ids:
        theirs.process(token)
    assert [(m.channel, m.recipient, m.content[0].text) for m in theirs.messages] == [
        (m.channel, m.recipient, m.text) for m in said
    ]


CONTROL = [200002, 200003, 200005, 200006, 200007, 200008, 200012, 199999, 199998]
WORDS = [35644, 12606, 815, 17196, 173781, 1428, 17360, 316, 28, 29010, 4108, 3490, 9552, 31446, 244, 13]
ANY = st.sampled_from(CONTROL) | st.sampled_from(WORDS) | st.integers(-5, 250_000) | st.just(2**70)


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(ANY, max_size=40))
@example(ids=[200005, 200006, 200008, 200005, 35644])
def test_any_sequence_is_read_without_raising_and_without_losing_text(
    o200k: tiktoken.Encoding, ids: list[int]
) -> None:
    pieces = read(o200k, ids)
    opened = False
    body = ""
    for piece in pieces:
        match piece:
            case Opened():
                assert not opened
                opened, body = True, ""
            case Text(delta):
                assert opened and delta
                body += delta
            case Closed(message):
                assert opened
                assert message.role is Role.ASSISTANT
                assert message.text == body
                opened = False
    assert not opened
