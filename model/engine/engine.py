"""Engine: token ids in, a stream of token ids out, wherever the weights live.

Plain data and a protocol, free of torch, so that the process that draws the screen may import it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn.

    `temperature` 0 is greedy; `top_p` in (0, 1]; `seed` None draws a fresh one; `max_tokens` bounds one
    sample, None leaves it to the checkpoint and the context. The defaults are those gpt-oss was released
    with.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None

    def bound(self, longest_answer: int | None) -> int | None:
        """The most tokens of a sample by a checkpoint of that `longest_answer`; None for no bound."""
        return longest_answer if self.max_tokens is None else self.max_tokens


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


@dataclass(frozen=True, slots=True)
class Edge:
    """A way on from a state to state `to`: exactly `text`, in any tokens, then the token `control`."""

    text: str
    control: int
    to: int


@dataclass(frozen=True, slots=True)
class State:
    """Where a sample stands, and how it may go on.

    Before the edges' control tokens come the edges' own texts (`body` "none"), any ordinary tokens ("any"),
    or a JSON document that is valid against the JSON Schema `schema` ("json"). No two edges of a state have
    the same text and control token; those of a state with a body have no text.
    """

    edges: tuple[Edge, ...]
    body: Literal["none", "any", "json"] = "none"
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Constraint:
    """Which tokens may be sampled: an automaton of control tokens with texts between them.

    The sample begins in state `start`. When `strict`, nothing can be sampled that no edge allows. Otherwise
    only the "json" bodies are enforced: the rest is followed, and what follows no edge is let through until
    the next `restart` token, after which the sample is in state `restarted`. After an edge to END nothing is
    enforced.
    """

    states: tuple[State, ...]
    start: int
    strict: bool
    restart: int
    restarted: int


END = -1

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


class EngineError(Exception):
    """The engine refused or failed; the message is for a person. The engine is still usable."""


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
