"""The policy that decides how much of the model's raw reasoning reaches a front end.

Raw reasoning was not trained to be shown: it may be wrong, may repeat private instructions, and may contain
what the answer would not (gpt-oss model card, arXiv:2508.10925). This module alone hides it or has it judged,
so that no front end can forget to. The model's context and the store have it unchanged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from ..calls.cancel import Stopped, unless_stopped
from ..events.events import (
    Completed,
    Event,
    FilterFailed,
    Incomplete,
    ReasoningDelta,
    ReasoningProgress,
    Repaired,
    TokenSampled,
)
from ..events.stream import Sink
from ..model.engine import Loading
from .filters.filter import FilterError, ReasoningFilter
from .filters.passages import Passages

LABEL = "raw reasoning, unmoderated, may be wrong"
"""The label wherever raw reasoning is shown."""

WITHHELD = "[withheld by the filter]"
NOT_JUDGED = "[not shown: the filter judges reasoning only while it is written]"

_CONTEXT = 4_000
"""Characters of the text before a passage that a filter gets."""


class ReasoningPolicy:
    """Shows the raw reasoning, hides it, or shows what `judge` allows. Hidden reasoning is not judged."""

    def __init__(self, *, hidden: bool = False, judge: ReasoningFilter | None = None) -> None:
        self._hidden = hidden
        self._judge = None if hidden else judge

    async def load(self) -> AsyncIterator[Loading]:
        """Load the filter, yielding progress; raises FilterError."""
        if self._judge is not None:
            async for loading in self._judge.load():
                yield loading

    def apply(self, emit: Sink, stop: asyncio.Event) -> Sink:
        """A sink for the events of one turn; it passes on to `emit` what a front end may have of them.

        `stop` also ends the wait for a judgement.
        """
        if self._hidden:
            return _Hiding(emit)
        if self._judge is not None:
            return _Review(self._judge, stop, emit)
        return emit

    def past(self, text: str) -> list[Event]:
        """The events that show `text`, the reasoning of an earlier turn."""
        if self._hidden:
            return []
        return [ReasoningDelta(text if self._judge is None else NOT_JUDGED)]

    async def close(self) -> None:
        """Close the filter."""
        if self._judge is not None:
            await self._judge.close()


@dataclass(slots=True)
class _Hiding:
    """A sink that drops the reasoning of one turn; only the number of its tokens goes on."""

    emit: Sink
    _tokens: int = 0

    async def __call__(self, event: Event) -> None:
        if isinstance(event, TokenSampled):
            if event.is_shown:
                await self.emit(event)
            return
        self._tokens = self._tokens + 1 if isinstance(event, ReasoningDelta) else 0
        match event:
            case ReasoningDelta():
                await self.emit(ReasoningProgress(self._tokens))
            case Completed() | Incomplete():
                await self.emit(replace(event, reasoning_text=""))
            case Repaired():
                await self.emit(event.without_quote())
            case _:
                await self.emit(event)


@dataclass(slots=True)
class _Review:
    """A sink that passes the reasoning of one turn through the filter, passage by passage.

    A passage that is not judged is withheld: one over which the filter fails, and every passage after a
    judgement that took too long, so that a filter that hangs delays a turn once. Each event waits for the
    judgement of all reasoning before it. A repair in the middle of a passage follows the passage: a cut there
    would have a word judged by halves.
    """

    judge: ReasoningFilter
    stop: asyncio.Event
    emit: Sink
    _passages: Passages = field(default_factory=Passages)
    _before: str = ""
    _stretches: list[str] = field(default_factory=lambda: [""])
    _repairs: list[Event] = field(default_factory=list)
    _tokens: int = 0
    _withholding: bool = False
    _late: bool = False
    _has_reported: bool = False

    async def __call__(self, event: Event) -> None:
        if isinstance(event, TokenSampled) and not event.is_shown:
            return
        if isinstance(event, Repaired) and self._passages.pending:
            self._repairs.append(event.without_quote())
            return
        if isinstance(event, ReasoningDelta):
            self._tokens += 1
            await self.emit(ReasoningProgress(self._tokens))
            passages = list(self._passages.add(event.delta))
        else:
            self._tokens = 0
            passages = list(self._passages.rest())
        for passage in passages:
            for shown in await self._show(passage):
                await self.emit(shown)
        while passages and self._repairs:
            await self.emit(self._repairs.pop(0))
        match event:
            case ReasoningDelta():
                pass
            case Completed() | Incomplete():
                stretches = [text.strip() for text in self._stretches]
                await self.emit(replace(event, reasoning_text="\n\n".join(filter(None, stretches))))
            case _:
                self._begin_stretch()
                await self.emit(event.without_quote() if isinstance(event, Repaired) else event)

    async def _show(self, passage: str) -> list[Event]:
        """The events that show what the filter allows of `passage`."""
        before, self._before = self._before, (self._before + passage)[-_CONTEXT:]
        if not passage.strip():
            return []
        failure: list[Event] = []
        try:
            judgement = self._judgement(passage, before)
            allowed = await unless_stopped(self.stop, judgement)
        except Stopped:
            return []
        except Exception as error:  # whatever a filter does, the turn goes on
            allowed, failure = None, self._failure(error)
        if allowed is not None:
            self._withholding = False
            return [*failure, self._delta(allowed)]
        if self._withholding:
            return failure
        self._withholding = True
        text = self._stretches[-1]
        line_break = "" if not text or text.endswith("\n") else "\n"
        return [*failure, self._delta(f"{line_break}{WITHHELD}\n")]

    async def _judgement(self, passage: str, before: str) -> str | None:
        if self._late:
            return None
        async with asyncio.timeout(self.judge.patience):
            allowed = await self.judge.look(passage, before)
        if not isinstance(allowed, str | None):
            raise FilterError(f"it gave {type(allowed).__name__}, which is no text")
        return allowed

    def _failure(self, error: Exception) -> list[Event]:
        """The event of the first failure in a turn; later failures are seldom news and have none.

        It names the type of an error other than FilterError, whose message may quote the passage.
        """
        self._late = isinstance(error, TimeoutError)
        if self._has_reported:
            return []
        self._has_reported = True
        if self._late:
            why = (
                f"took more than {self.judge.patience:g} s, so the rest of this turn's reasoning is withheld"
            )
        else:
            detail = str(error) if isinstance(error, FilterError) else type(error).__name__
            why = f"failed, so a passage is withheld: {detail}"
        return [FilterFailed(f"The reasoning filter {why.rstrip('.')}.")]

    def _delta(self, text: str) -> Event:
        self._stretches[-1] += text
        return ReasoningDelta(text)

    def _begin_stretch(self) -> None:
        self._withholding = False
        if self._stretches[-1]:
            self._stretches.append("")
