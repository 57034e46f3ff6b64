"""What the person asked for and the model has not got to yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Say:
    """Send this message."""

    text: str


@dataclass(frozen=True, slots=True)
class StartOver:
    """Forget the conversation and start a new one."""


class Outbox:
    """A queue with one reader, whose last message can be taken back."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._requests: deque[Say | StartOver] = deque()
        self._handed_over: list[str] = []
        self._filled = asyncio.Event()
        self._changed = changed

    @property
    def messages(self) -> list[str]:
        """The messages that wait, oldest first."""
        return [request.text for request in self._requests if isinstance(request, Say)]

    @property
    def unsent(self) -> list[str]:
        """The messages that are in no conversation yet: those that wait, and before them what `next` gave."""
        return [*self._handed_over, *self.messages]

    def put(self, request: Say | StartOver) -> None:
        """Add a request; StartOver makes all that wait pointless and replaces it."""
        if isinstance(request, StartOver):
            self._requests.clear()
        self._requests.append(request)
        self._filled.set()
        self._changed()

    def take_back(self) -> str | None:
        """Remove and return the last message, if one waits."""
        if not self._requests or not isinstance(self._requests[-1], Say):
            return None
        request = self._requests.pop()
        self._changed()
        return request.text if isinstance(request, Say) else None

    async def next(self) -> Say | StartOver:
        """The oldest request; waits for one."""
        while not self._requests:
            self._filled.clear()
            await self._filled.wait()
        request = self._requests.popleft()
        if isinstance(request, Say):
            self._handed_over.append(request.text)
        self._changed()
        return request

    def arrived(self) -> None:
        """What `next` gave is part of the conversation now."""
        if self._handed_over:
            self._handed_over.clear()
            self._changed()
