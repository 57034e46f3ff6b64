"""The Harmony format as a constraint on a sample: on its headers, and on the body of an answer.

A sample continues `<|start|>assistant`: a channel, perhaps a recipient and a content type, a body, its end,
and the next `<|start|>assistant`, until a call or the answer ends it. The recipient stands before the
channel, as prompts have it, or after it, as models like to write it. Sampled freely, about 4 % of the
turns of gpt-oss-20b have a damaged header at temperature 1 (ggml-org/llama.cpp issue 27720); under the
constraint none can.
Format: docs/format.md of openai/harmony.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from enum import IntEnum, auto

from ..harmony.message import Channel, ResponseFormat
from ..harmony.vocabulary import ControlTokens
from ..model.constraint import END, Constraint, Edge, State

_CALL_CHANNELS = (Channel.ANALYSIS, Channel.COMMENTARY)
_CALL_TYPES = ("", " code", " json")
_ANSWER_TYPES = ("", " json")


class _At(IntEnum):
    """The state that a sample is in; the values are the places of `Constraint.states`."""

    AUTHOR = 0  # after `<|start|>assistant` of the prompt
    CHANNEL = auto()  # after `<|channel|>`, without a recipient so far
    CALL_CHANNEL = auto()  # after ` to=NAME<|channel|>`
    CALL_TYPE = auto()  # after `<|constrain|>`, in the header of a call
    ANSWER_TYPE = auto()  # after `<|constrain|>`, in the header of the answer
    CALL = auto()  # in the body of a call
    ASIDE = auto()  # in the body of reasoning or of a preamble
    ANSWER = auto()  # in the body of the answer
    BETWEEN = auto()  # after `<|end|>`
    START = auto()  # after `<|start|>`


_BODIES = {Channel.ANALYSIS: _At.ASIDE, Channel.COMMENTARY: _At.ASIDE, Channel.FINAL: _At.ANSWER}


def grammar(
    control: ControlTokens,
    recipients: Iterable[str],
    response_format: ResponseFormat | None = None,
    *,
    channel: Channel | None = None,
    strict: bool = True,
) -> Constraint | None:
    """The constraint on one sample; None for no constraint.

    `recipients` are the tools on offer by their full names. With `response_format` the answer's body is JSON
    that fits its schema. `channel` is the channel of a header that the prompt has already written. Without
    `strict` only the answer's body is enforced.
    """
    if response_format is None and not strict:
        return None
    to = [f" to={name}" for name in sorted(recipients)]
    states = {
        _At.AUTHOR: _authors("", to, control),
        _At.CHANNEL: State(
            (
                *(Edge(channel.value, control.message, _At.ASIDE) for channel in _CALL_CHANNELS),
                *(Edge(f"final{kind}", control.message, _At.ANSWER) for kind in _ANSWER_TYPES),
                Edge("final ", control.constrain, _At.ANSWER_TYPE),
                *_calls([f"{channel}{name}" for channel in _CALL_CHANNELS for name in to], control),
            )
        ),
        _At.CALL_CHANNEL: State(tuple(_calls(_CALL_CHANNELS, control))),
        _At.CALL_TYPE: State((Edge("json", control.message, _At.CALL),)),
        _At.ANSWER_TYPE: State((Edge("json", control.message, _At.ANSWER),)),
        _At.CALL: State((Edge("", control.call, END),), "any"),
        _At.ASIDE: State((Edge("", control.end, _At.BETWEEN),), "any"),
        _At.ANSWER: _answer(response_format, control),
        _At.BETWEEN: State((Edge("", control.start, _At.START),)),
        _At.START: _authors("assistant", to, control),
    }
    start = _At.AUTHOR if channel is None else _BODIES[channel]
    return Constraint(tuple(states[at] for at in _At), start, strict, control.start, _At.START)


def _authors(role: str, to: Iterable[str], control: ControlTokens) -> State:
    calls = (Edge(f"{role}{name}", control.channel, _At.CALL_CHANNEL) for name in to)
    return State((Edge(role, control.channel, _At.CHANNEL), *calls))


def _calls(headers: Iterable[str], control: ControlTokens) -> Iterator[Edge]:
    """The edges from the `headers` of calls, with each spelling of the content type and without one."""
    for header in headers:
        yield from (Edge(f"{header}{kind}", control.message, _At.CALL) for kind in _CALL_TYPES)
        yield Edge(f"{header} ", control.constrain, _At.CALL_TYPE)


def _answer(response_format: ResponseFormat | None, control: ControlTokens) -> State:
    edges = (Edge("", control.return_, END),)
    if response_format is None:
        return State(edges, "any")
    return State(edges, "json", json.dumps(response_format.schema))
