"""Events on their way: whoever makes them writes into a sink, and one generator at the edge is read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from .events import Event, Events

MOST_AHEAD = 256
"""Pieces of texts that may wait for their reader; a slow one holds up whoever writes them."""

Sink = Callable[[Event], Awaitable[None]]
"""Takes one event, and returns when its reader asks for the next; pieces are only held up when many wait."""


async def stream(work: Callable[[Sink], Awaitable[None]]) -> Events:
    """The events that `work` writes into the sink it is given, as they come; raises what `work` raises.

    `work` runs in a task of its own. Leaving the stream early cancels it, and waits until it has ended.
    """
    handover = _Handover()
    task = asyncio.create_task(handover.run(work))
    try:
        while (event := await handover.take()) is not None:
            yield event
    finally:
        task.cancel()  # without effect where it has ended
        await asyncio.gather(task, return_exceptions=True)
    task.result()


class _Handover:
    """What lies between the task that writes and the one that reads."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._is_over = False
        self._reader: asyncio.Future[None] | None = None  # waits for an event
        self._writer: asyncio.Future[None] | None = None  # waits until all events have been dealt with

    async def run(self, work: Callable[[Sink], Awaitable[None]]) -> None:
        """Do the work, and tell the reader when it is over."""
        try:
            await work(self.put)
        finally:
            self._is_over = True
            _resolve(self._reader)

    async def put(self, event: Event) -> None:
        """Hand one event over; see Sink."""
        self._events.append(event)
        _resolve(self._reader)
        if not event.is_piece or len(self._events) >= MOST_AHEAD:
            self._writer = self._loop.create_future()
            await self._writer

    async def take(self) -> Event | None:
        """The next event; None when there will be none."""
        if not self._events:
            _resolve(self._writer)
            if self._is_over:
                return None
            self._reader = self._loop.create_future()
            await self._reader
        return self._events.popleft() if self._events else None


def _resolve(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
