"""Engine: token ids in, a stream of token ids out, wherever the weights live.

Plain data and a protocol, free of torch, so that the process that draws the screen may import it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gptoss_tui.model.constraint import Constraint
from gptoss_tui.model.errors import EngineError
from gptoss_tui.model.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Loading:
    """Progress of a load: `stage` in words, `done` of `total` bytes."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Prefill:
    """Progress through the prompt, in tokens; `cached` of them were remembered from before."""

    done: int
    total: int
    cached: int


@dataclass(frozen=True, slots=True)
class Token:
    """One sampled token with the natural logarithm of its probability."""

    id: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The last item of a generation: why it ended, and seconds spent reading and writing."""

    reason: Literal["stop", "length", "context", "cancelled"]
    prefill_s: float
    decode_s: float


Generation = AsyncGenerator[Prefill | Token | Finished, None]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What was loaded: `model` by name, `device` in words, `context` in tokens, `parameters` in all.

    `longest_answer` bounds a sample whose Sampling does not; None where the checkpoint states no bound.
    """

    model: str
    device: str
    context: int
    vocabulary: int
    parameters: int
    load_s: float
    longest_answer: int | None = None


class EngineDied(EngineError):
    """The engine's process ended. The next `load()` starts it again."""


class Engine(Protocol):
    """The runtime as the application sees it. One generation at a time."""

    def load(self) -> AsyncIterator[Loading]:
        """Load the weights, yielding progress; returns at once when loaded already.

        Raises EngineError (a checkpoint that cannot be used) or EngineDied.
        """

    def generate(
        self,
        prompt_ids: Sequence[int],
        sampling: Sampling,
        stop_ids: Sequence[int],
        constraint: Constraint | None = None,
    ) -> Generation:
        """Continue `prompt_ids`, within `constraint`: Prefill items, then Tokens, then one Finished.

        A stop id is yielded as the last Token. Raises EngineError, or EngineDied if the process ends.
        Closing the iterator early cancels the generation.
        """

    async def cancel(self) -> None:
        """Stop the running generation within one token; it still ends with Finished("cancelled")."""

    def info(self) -> EngineInfo | None:
        """What is loaded, or None before the first load."""

    async def close(self) -> None:
        """End the process and free its memory."""
