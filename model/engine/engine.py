"""Engine: token ids in, a stream of token ids out, wherever the weights live.

Plain data and a protocol, free of torch, so that the process that draws the screen may import it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import IntFlag
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


class Detail(IntFlag):
    """The parts of a Token besides its probability. They cost time for each token."""

    NONE = 0
    ALTERNATIVES = 1
    EXPERTS = 2


@dataclass(frozen=True, slots=True)
class Request:
    """A generation to run: `prompt_ids` continued within `constraint`, until one of `stop_ids`.

    The first `opening` ids begin other prompts too: an engine may keep what it made of them, on disk as well.
    """

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    stop_ids: tuple[int, ...] = ()
    constraint: Constraint | None = None
    detail: Detail = Detail.NONE
    opening: int = 0


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    """Progress through the prompt, in tokens; `cached` of them were already in the cache."""

    done: int
    total: int
    cached: int


@dataclass(frozen=True, slots=True)
class Token:
    """One sampled token with the natural logarithm of its probability before top-p and a constraint.

    On request, `alternatives` are the few most likely tokens of this step, whether allowed or not, and
    `experts` are, by layer, those chosen while the token before was read; both are sorted best first.
    """

    id: int
    logprob: float
    alternatives: tuple[Token, ...] = ()
    experts: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The last item of a generation: why it ended, and seconds spent reading and writing.

    Of the tokens, `drafted` were read on a guess at them, and `accepted` of these guesses were right.
    """

    reason: Literal["stop", "length", "context", "cancelled"]
    prefill_s: float
    decode_s: float
    drafted: int = 0
    accepted: int = 0


Item = PrefillProgress | Token | Finished


class Generation:
    """One request under way: PrefillProgress items, then Tokens, then one Finished.

    It begins when it is first read. `cancel` ends it within one token, and the reader still gets
    Finished("cancelled"). Closing it, or cancelling the task that reads it, ends it without a further item.
    No other generation is affected.
    """

    def __init__(self, run: Callable[[asyncio.Future[None]], AsyncGenerator[Item, None]]) -> None:
        """`run` yields the items, and ends soon after its argument, a future, is done."""
        self._stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._items = run(self._stop)

    def __aiter__(self) -> AsyncIterator[Item]:
        return self._items

    def cancel(self) -> None:
        """End the generation early, whether or not it has begun; without effect once it has ended."""
        if not self._stop.done():
            self._stop.set_result(None)

    async def aclose(self) -> None:
        """Close the generation without reading it to its end."""
        await self._items.aclose()


@dataclass(frozen=True, slots=True)
class Abilities:
    """The abilities of an engine.

    `constrains`: it enforces a request's constraint. `token_ids`: prompts and answers are exact ids.
    `logprobs`, `alternatives`, `experts`: its tokens have them. `parallel`: generations that are open at once
    run at once, and do not wait for each other. `reads_ahead`: it can read a prompt before it is asked to
    continue it.
    """

    constrains: bool
    token_ids: bool
    logprobs: bool
    alternatives: bool
    experts: bool
    parallel: bool
    reads_ahead: bool = False

    @property
    def detail(self) -> Detail:
        """What a request may ask of each token."""
        detail = Detail.ALTERNATIVES if self.alternatives else Detail.NONE
        return detail | Detail.EXPERTS if self.experts else detail


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The loaded model: `model` by name, `device` in words, `context` in tokens, `parameters` in all.

    `longest_answer` bounds a sample whose Sampling does not; None where the checkpoint states no bound.
    `read_for_token` are the bytes of weights in main memory that computing a token reads; None where they lie
    elsewhere.
    """

    model: str
    device: str
    context: int
    vocabulary: int
    parameters: int
    load_s: float
    abilities: Abilities
    longest_answer: int | None = None
    read_for_token: int | None = None


class EngineDied(EngineError):
    """The engine's process ended. The next `load()` starts it again."""


class Engine(Protocol):
    """The interface of the runtime. Several generations may be open at once."""

    def load(self) -> AsyncIterator[Loading]:
        """Load the weights, yielding progress; returns at once when loaded already.

        Callers during a load wait for the same weights.

        Raises EngineError (a checkpoint that cannot be used) or EngineDied.
        """

    def generate(self, request: Request) -> Generation:
        """The generation of `request`; a stop id is yielded as the last Token.

        Reading it raises EngineError, or EngineDied if the process ends, as reading every other open one
        does.
        """

    async def read_ahead(self, prompt_ids: Sequence[int], opening: int = 0) -> None:
        """Read `prompt_ids`, with which the next prompt begins, while there is nothing else to do.

        Returns once they are read, or given up: at once where the abilities say no, nothing is loaded, or a
        generation is open, and soon after one begins, which does not wait. Cancelling the task that awaits
        this gives them up. `opening` is that of a Request. Raises EngineError and EngineDied.
        """

    def info(self) -> EngineInfo | None:
        """The loaded model, or None before the first load."""

    async def close(self) -> None:
        """End the process and free its memory."""
