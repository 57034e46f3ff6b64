"""What the application and its worker process say to each other: one JSON line a message.

A line is `[call, message]`. The application numbers its calls and the worker answers under the same number,
so an answer that nobody waits for any longer is recognised and dropped. Both ends are the same build.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from gptoss_tui.model.engine.engine import (
    Constraint,
    Edge,
    EngineInfo,
    Finished,
    Loading,
    Prefill,
    Sampling,
    State,
    Token,
)


@dataclass(frozen=True, slots=True)
class Load:
    """Load a checkpoint: Loading items, then EngineInfo or Failed."""

    checkpoint: str
    name: str
    device: str
    dtype: str
    context: int | None


@dataclass(frozen=True, slots=True)
class Generate:
    """Continue a prompt: Prefill and Token items, then Finished or Failed."""

    prompt_ids: list[int]
    sampling: Sampling
    stop_ids: list[int]
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the call of the same number early. It still ends with Finished, unless it has ended already."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The call could not be done; `message` is for a person. The worker is still usable."""

    message: str


Command = Load | Generate | Cancel
Answer = Loading | EngineInfo | Prefill | Token | Finished | Failed

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(Load, Generate, Cancel, Sampling, Constraint, State, Edge),
        *(Loading, EngineInfo, Prefill, Token, Finished, Failed),
    )
}


def encode(call: int, message: Command | Answer) -> bytes:
    """One line, with its newline."""
    return json.dumps([call, message], default=_to_json).encode() + b"\n"


def decode(line: bytes) -> Any:
    """The `[call, message]` of one line."""
    return json.loads(line, object_hook=_from_json)


def _to_json(message: Any) -> dict[str, Any]:
    return {"kind": type(message).__name__} | {f.name: getattr(message, f.name) for f in fields(message)}


def _from_json(values: dict[str, Any]) -> Any:
    kind = _KINDS[values.pop("kind")]
    if kind in (Constraint, State):  # JSON has lists where these have tuples
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return kind(**values)
