"""A load that several sessions wait for: it runs once, and each follows its progress at its own pace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..events.events import EngineLoading
from ..events.stream import Sink

Report = Callable[[EngineLoading], None]
"""Takes the progress of a load."""


class LoadCancelled(Exception):
    """The load was ended from outside, not by whoever follows it."""


class SharedLoad:
    """A load under way, in a task of its own; cancelled when the last session that follows it leaves."""

    def __init__(self, work: Callable[[Report], Awaitable[None]]) -> None:
        self._progress: list[EngineLoading] = []
        self._changed = asyncio.Event()
        self._followers = 0
        self._task = asyncio.ensure_future(work(self._report))
        self._task.add_done_callback(lambda _: self._changed.set())

    @property
    def is_over(self) -> bool:
        """True once it has succeeded, failed or been cancelled."""
        return self._task.done()

    async def follow(self, emit: Sink) -> None:
        """Emit the progress from now on until the load is over; raises what it raises, and LoadCancelled."""
        self._followers += 1
        seen = max(len(self._progress) - 1, 0)
        try:
            while seen < len(self._progress) or not self.is_over:
                if seen < len(self._progress):
                    seen += 1
                    await emit(self._progress[seen - 1])
                else:
                    await self._changed.wait()
        finally:
            self._followers -= 1
            if not self._followers:
                await self.cancel()
        if self._task.cancelled():
            raise LoadCancelled
        self._task.result()

    async def cancel(self) -> None:
        """End the load, if it is not over."""
        if not self.is_over:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _report(self, progress: EngineLoading) -> None:
        self._progress.append(progress)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
