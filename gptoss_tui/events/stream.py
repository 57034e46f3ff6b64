"""Events on their way: whoever makes them writes into a sink, and one generator at the edge is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from .events import Event, Events

Sink = Callable[[Event], Awaitable[None]]
"""Takes one event, and returns when its reader asks for the next."""


async def stream(work: Callable[[Sink], Awaitable[None]]) -> Events:
    """The events that `work` writes into the sink it is given, as they come; raises what `work` raises.

    `work` goes on only while the reader waits for the next event, in the reader's own task; tasks that it
    makes must not write. Leaving the stream early cancels it, and waits until it has ended.
    """
    handover = _Handover(work)
    try:
        while await handover:
            yield handover.event
    finally:
        await handover.end()


class _Handover:
    """The work as a coroutine that is driven by hand, from one event to the next.

    To await it is to let the work go on: True when it has handed an event over, False when it has ended. What
    the work waits for is waited for by the reader, and what is thrown at the reader is thrown into the work.
    Between two tasks every token would cost a future, a callback and a turn of the event loop.
    """

    def __init__(self, work: Callable[[Sink], Awaitable[None]]) -> None:
        self.event = Event()
        self._steps = work(self._put).__await__()
        self._handed_over = _HandedOver()
        self._thrown: BaseException | None = None
        self._was_interrupted = False  # the reader's own task was cancelled, for one
        self._is_over = False

    async def end(self) -> None:
        """Cancel the work, if it has not ended, and let it clean up; nobody reads what it writes then."""
        if self._is_over:
            return
        self._thrown, self._was_interrupted = asyncio.CancelledError(), False
        try:
            while await self:
                pass
        except asyncio.CancelledError:
            if self._was_interrupted:
                raise

    def _put(self, event: Event) -> Awaitable[None]:
        self.event = event
        return self._handed_over

    def __await__(self) -> Generator[Any, None, bool]:
        thrown, self._thrown = self._thrown, None
        while True:
            try:
                waits_for = self._steps.send(None) if thrown is None else self._steps.throw(thrown)
            except StopIteration:
                self._is_over = True
                return False
            except BaseException:
                self._is_over = True
                raise
            if waits_for is self._handed_over:
                return True
            try:
                thrown = None
                yield waits_for
            except BaseException as error:
                thrown, self._was_interrupted = error, True


class _HandedOver:
    """What the work waits for once it has written an event."""

    def __await__(self) -> Generator[_HandedOver, None, None]:
        yield self
