"""The messages of a call: preamble, arguments, output."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gptoss_tui.harmony.message import Channel, Message, Role

from .phrasing import copied

Value = str | int | float | bool | list[str]


def call_python(code: str) -> Message:
    """A cell for Python; `code` may carry marks."""
    return Message(Role.ASSISTANT, code, channel=Channel.ANALYSIS, recipient="python", content_type="code")


def said_python(text: str) -> Message:
    """The tool message with Python's output."""
    return Message(Role.TOOL, text, name="python", channel=Channel.ANALYSIS)


def call(recipient: str, arguments: Mapping[str, Value], channel: Channel = Channel.COMMENTARY) -> Message:
    """A call with JSON arguments; every value is a copied span."""
    return Message(
        Role.ASSISTANT,
        marked_json(arguments),
        channel=channel,
        recipient=recipient,
        content_type="<|constrain|>json",
    )


def said(recipient: str, text: str, channel: Channel = Channel.COMMENTARY) -> Message:
    """The tool message with a tool's output."""
    return Message(Role.TOOL, text, name=recipient, channel=channel)


def preamble(text: str) -> Message:
    """The preamble for the person before the calls."""
    return Message(Role.ASSISTANT, text, channel=Channel.COMMENTARY)


def marked_json(values: Mapping[str, Value]) -> str:
    """A JSON object whose keys and values are marked as copied."""
    pairs = [f'"{copied(key)}": {_marked(value)}' for key, value in values.items()]
    return f"{{{', '.join(pairs)}}}"


def _marked(value: Value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_marked(one) for one in value)}]"
    if isinstance(value, str):
        return f'"{copied(json.dumps(value, ensure_ascii=False)[1:-1])}"'
    return copied(json.dumps(value))
