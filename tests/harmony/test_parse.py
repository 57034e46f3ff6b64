"""Parsing of well-formed samples: equal to the official parser, streaming, and the inverse of rendering.

Malformed samples: test_malformed.py. Any sequence of ids at all: test_parse_fuzz.py.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import openai_harmony as oh
import pytest
import tiktoken
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from gptoss_tui.harmony import Channel, Closed, Message, Opened, Parser, Repair, Role, Text, render_message
from gptoss_tui.harmony.parse import Piece

Reader = Callable[..., list[Piece]]
Judge = Callable[[list[int], list[Piece]], str]

A, C, F = Channel.ANALYSIS, Channel.COMMENTARY, Channel.FINAL
WEATHER = "functions.get_weather"
JSON = "<|constrain|>json"
RETURN, END, CALL = 200002, 200007, 200012

WELL_FORMED = {
    "answer": ("<|channel|>final<|message|>4<|return|>", [(F, None, None, "4")]),
    "thought and answer": (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
        [(A, None, None, "hm"), (F, None, None, "4")],
    ),
    "an answer in JSON": (f"<|channel|>final {JSON}<|message|>{{}}<|return|>", [(F, None, JSON, "{}")]),
    "recipient in the role": (
        f" to={WEATHER}<|channel|>commentary {JSON}<|message|>{{}}<|call|>",
        [(C, WEATHER, JSON, "{}")],
    ),
    "recipient after the channel": (
        f"<|channel|>commentary to={WEATHER} {JSON}<|message|>{{}}<|call|>",
        [(C, WEATHER, JSON, "{}")],
    ),
    "constraint in the role": (
        f" to={WEATHER}{JSON}<|channel|>commentary<|message|>{{}}<|call|>",
        [(C, WEATHER, JSON, "{}")],
    ),
    "constraint without a blank": (
        f"<|channel|>commentary to={WEATHER}{JSON}<|message|>{{}}<|call|>",
        [(C, WEATHER, JSON, "{}")],
    ),
    "a bare type": (
        f" to={WEATHER}<|channel|>commentary json<|message|>{{}}<|call|>",
        [(C, WEATHER, "json", "{}")],
    ),
    "no type": (f" to={WEATHER}<|channel|>commentary<|message|>{{}}<|call|>", [(C, WEATHER, None, "{}")]),
    "python": ("<|channel|>analysis to=python code<|message|>1+1<|call|>", [(A, "python", "code", "1+1")]),
    "a function called from the reasoning": (
        f"<|channel|>analysis to={WEATHER} code<|message|>{{}}<|call|>",
        [(A, WEATHER, "code", "{}")],
    ),
    "preamble": (
        f"<|channel|>commentary<|message|>Looking.<|end|><|start|>assistant to={WEATHER}<|channel|>commentary"
        " json<|message|>{}<|call|>",
        [(C, None, None, "Looking."), (C, WEATHER, "json", "{}")],
    ),
}


@pytest.mark.parametrize("name", WELL_FORMED)
def test_well_formed(o200k: tiktoken.Encoding, judge: Judge, read: Reader, name: str) -> None:
    text, expected = WELL_FORMED[name]
    pieces = read(text)
    messages = [piece.message for piece in pieces if isinstance(piece, Closed)]
    assert [(m.channel, m.recipient, m.content_type, m.text) for m in messages] == expected
    assert not any(isinstance(piece, Repair) for piece in pieces)
    assert judge(o200k.encode(text, allowed_special="all"), pieces) == "agrees"


def test_a_stop_after_the_end_is_no_error(read: Reader) -> None:  # vllm-project/vllm#50690
    answer = "<|channel|>final<|message|>4<|end|>"
    assert read(answer + "<|return|>") == read(answer)


def test_pieces_come_as_soon_as_they_are_known(o200k: tiktoken.Encoding) -> None:
    parser = Parser(o200k)
    ids = o200k.encode("<|channel|>final<|message|>one two<|return|>more", allowed_special="all")
    assert [parser.feed(token) for token in ids] == [
        [],
        [],
        [Opened(F, None, None)],
        [Text("one")],
        [Text(" two")],
        [Closed(Message(Role.ASSISTANT, "one two", channel=F), "return")],
        [],
    ]
    assert parser.ended
    assert parser.finish() == []
    assert parser.ids == ids


def test_the_prompt_may_have_written_the_header(read: Reader) -> None:
    said = Message(Role.ASSISTANT, "yes", channel=F)
    assert read("yes<|return|>", channel=F) == [Opened(F, None, None), Text("yes"), Closed(said, "return")]
    assert read("", channel=F) == [Opened(F, None, None), Closed(replace(said, text=""), "cut")]


def test_the_model_may_write_the_header_again(read: Reader) -> None:
    texts = [
        p.delta for p in read("<|channel|>final<|message|>yes<|return|>", channel=F) if isinstance(p, Text)
    ]
    assert texts == ["yes"]


# A sample as the models are trained to write it: messages, the last of them an answer or a call.

NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,30}", fullmatch=True).filter(
    lambda name: name not in ("assistant", "user", "all")
)
TYPE = st.sampled_from([None, "code", "json", JSON, "<|constrain|>lark"])
BODY = st.text(max_size=30) | st.sampled_from(["<|end|>", "a<|channel|>final<|message|>b", "💖", "नमस्ते"])
SAID = st.builds(lambda text, to: Message(Role.ASSISTANT, text, channel=to), BODY, st.sampled_from(Channel))
ANSWER = st.builds(
    lambda text, type_: Message(Role.ASSISTANT, text, channel=F, content_type=type_),
    BODY,
    st.sampled_from([None, JSON]),
)
CALLED = st.builds(
    lambda text, channel, name, type_: Message(
        Role.ASSISTANT, text, channel=channel, recipient=name, content_type=type_
    ),
    BODY,
    st.sampled_from(Channel),
    NAME | st.sampled_from(["python", WEATHER]),
    TYPE,
)
SAMPLE = st.tuples(st.lists(SAID, max_size=4), ANSWER | CALLED).map(lambda parts: [*parts[0], parts[1]])


def rendered(sample: list[Message], tokenizer: tiktoken.Encoding) -> list[int]:
    """The ids sampled after the prompt's `<|start|>assistant`; an answer ends in `<|return|>`."""
    ids = [token for message in sample for token in render_message(message, tokenizer)][2:]
    return [*ids[:-1], RETURN] if ids[-1] == END else ids


def written_otherwise(message: Message, tokenizer: tiktoken.Encoding) -> list[int]:
    """A call with its recipient after the channel, as the documentation has it; anything else as rendered."""
    if message.recipient is None:
        return render_message(message, tokenizer)
    to, type_ = f" to={message.recipient}", f" {message.content_type}" if message.content_type else ""
    header = f"<|start|>assistant<|channel|>{message.channel}{to}{type_}<|message|>"
    body = tokenizer.encode_ordinary(message.text)
    return [*tokenizer.encode(header, allowed_special="all"), *body, CALL]


def check_sample(tokenizer: tiktoken.Encoding, official: Any, judge: Judge, sample: list[Message]) -> None:
    ids = rendered(sample, tokenizer)
    offered = frozenset(message.recipient for message in sample if message.recipient)
    pieces = _pieces(Parser(tokenizer, recipients=offered), ids)
    assert [piece.message for piece in pieces if isinstance(piece, Closed)] == sample
    assert not any(isinstance(piece, Repair) for piece in pieces)
    assert judge(ids, pieces) == "agrees"

    theirs = oh.StreamableParser(official, oh.Role.ASSISTANT)
    deltas = []
    for token in ids:
        theirs.process(token)
        deltas.append(theirs.last_content_delta or "")
    assert "".join(piece.delta for piece in pieces if isinstance(piece, Text)) == "".join(deltas)


def _pieces(parser: Parser, ids: list[int]) -> list[Piece]:
    return [piece for token in ids for piece in parser.feed(token)] + parser.finish()


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sample=SAMPLE)
def test_parsing_undoes_rendering_as_the_official_parser_does(
    o200k: tiktoken.Encoding, official: Any, judge: Judge, sample: list[Message]
) -> None:
    check_sample(o200k, official, judge, sample)


@pytest.mark.slow
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sample=SAMPLE)
def test_parsing_undoes_rendering_ten_thousand_times(
    o200k: tiktoken.Encoding, official: Any, judge: Judge, sample: list[Message]
) -> None:
    check_sample(o200k, official, judge, sample)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=CALLED)
def test_a_recipient_may_stand_on_either_side(o200k: tiktoken.Encoding, judge: Judge, call: Message) -> None:
    ids = written_otherwise(call, o200k)[2:]
    pieces = _pieces(Parser(o200k, recipients=frozenset({call.recipient or ""})), ids)
    assert [piece for piece in pieces if not isinstance(piece, Text)] == [
        Opened(call.channel or F, call.recipient, call.content_type),
        Closed(call, "call"),
    ]
    assert judge(ids, pieces) == "agrees"


ANY_MESSAGE = st.builds(
    Message,
    role=st.just(Role.ASSISTANT),
    text=BODY,
    name=st.none() | st.text(max_size=8),
    channel=st.sampled_from(Channel),
    recipient=st.none() | NAME | st.text(min_size=1, max_size=8),
    content_type=TYPE,
)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=ANY_MESSAGE)
def test_whatever_the_assistant_is_made_to_say_is_read_back(
    o200k: tiktoken.Encoding, message: Message
) -> None:
    """Except that the assistant loses its name, and a name the letters that a header cannot carry."""
    recipient = message.recipient and re.sub(r"[^A-Za-z0-9_.:/-]", "_", message.recipient)
    assume(recipient not in ("assistant", "user", "all"))
    ids = render_message(message, o200k)[2:]
    parser = Parser(o200k, recipients=frozenset({recipient or ""}))
    (closed,) = (piece for piece in _pieces(parser, ids) if isinstance(piece, Closed))
    assert closed.message == replace(message, name=None, recipient=recipient)


# Streaming: bytes to characters.

PIECES_OF_CHARACTERS = st.text(max_size=12).map(lambda text: list(text.encode()))
BYTES = st.lists(st.integers(0, 255), max_size=8)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(PIECES_OF_CHARACTERS | BYTES, max_size=5))
@example(parts=[[0xED, 0xA0]])  # the start of half a surrogate pair, which is no character's
@example(parts=[[0xED, 0xBF, 0xBF, 0xED, 0xA0, 0x41]])
def test_a_delta_never_splits_a_character(o200k: tiktoken.Encoding, parts: list[list[int]]) -> None:
    """Bodies fed byte by byte: the deltas are the text, and no delta is ever taken back."""
    raw = bytes(byte for part in parts for byte in part)
    body = [o200k.encode_single_token(bytes([byte])) for byte in raw]
    parser = Parser(o200k, channel=F)
    shown = ""
    for count, token in enumerate(body, 1):
        shown += "".join(piece.delta for piece in parser.feed(token) if isinstance(piece, Text))
        whole = raw[:count].decode("utf-8", "replace")
        assert whole.startswith(shown)
        assert raw.decode("utf-8", "replace").startswith(shown)
        assert len(whole) - len(shown) <= 1, "no more than the character in progress is held back"
    pieces = parser.feed(RETURN)
    shown += "".join(piece.delta for piece in pieces if isinstance(piece, Text))
    closed = pieces[-1]
    assert isinstance(closed, Closed)
    assert closed.message.text == shown == raw.decode("utf-8", "replace")


def test_only_the_beginning_of_a_character_is_held_back(o200k: tiktoken.Encoding) -> None:
    """For every pair of bytes, and every kind of byte after it."""
    for first, second in itertools.product(range(256), repeat=2):
        parser = Parser(o200k, channel=F)
        raw, shown = b"", ""
        for byte in (first, second, 0x80, 0x80):
            raw += bytes([byte])
            pieces = parser.feed(o200k.encode_single_token(bytes([byte])))
            shown += "".join(piece.delta for piece in pieces if isinstance(piece, Text))
            held = raw.decode("utf-8", "replace").removeprefix(shown)
            assert held in ("", "\ufffd"), raw


def test_an_emoji_of_two_tokens_comes_as_one_delta(read: Reader) -> None:
    pieces = read([31446, 244, 31446, RETURN], channel=F)
    assert [piece.delta for piece in pieces if isinstance(piece, Text)] == ["💖", "\ufffd"]
