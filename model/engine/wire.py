"""The messages between the application and the engine's worker process."""

from __future__ import annotations

from dataclasses import dataclass

from gptoss_tui.model.constraint import Constraint, Edge, State
from gptoss_tui.model.engine.engine import (
    Abilities,
    EngineInfo,
    Finished,
    Loading,
    PrefillProgress,
    Request,
    Token,
)
from gptoss_tui.model.sampling import Sampling
from gptoss_tui.workers.wire import Wire


@dataclass(frozen=True, slots=True)
class Load:
    """Load a checkpoint: Loading items, then EngineInfo or CallFailed.

    Openings are kept in the folder `snapshots`, at most `snapshots_bytes` together; None keeps none.
    """

    checkpoint: str
    name: str
    device: str
    dtype: str
    context: int | None
    speculate: bool
    snapshots: str | None
    snapshots_bytes: int


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """Read `prompt_ids` unless something else is to be done; see `Engine.read_ahead`."""

    prompt_ids: tuple[int, ...]
    opening: int


@dataclass(frozen=True, slots=True)
class Rest:
    """Do what is left to be done while nobody waits."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the request of the same number early. It still gets its Finished, unless it has ended already."""


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call failed; `message` is for a person. The worker is still usable."""

    message: str


EngineCommand = Load | Request | ReadAhead | Rest | Cancel
"""A Request is answered with PrefillProgress and Token items, then Finished or CallFailed.

ReadAhead and Rest are answered with Finished or CallFailed alone.
"""

EngineAnswer = Loading | EngineInfo | PrefillProgress | Token | Finished | CallFailed

WIRE = Wire(
    *(Load, Request, ReadAhead, Rest, Cancel, Sampling, Constraint, State, Edge),
    *(Loading, EngineInfo, Abilities, PrefillProgress, Token, Finished, CallFailed),
)
