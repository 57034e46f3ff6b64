"""The outbox: the person's messages, and other requests, that wait for the model."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Say:
    """The request to send a message."""

    text: str


@dataclass(frozen=True, slots=True)
class StartOver:
    """The request to start a new conversation."""


@dataclass(frozen=True, slots=True)
class Compact:
    """The request to have the model sum up what was said; `instruction` is what it should heed."""

    instruction: str


@dataclass(frozen=True, slots=True)
class Uncompact:
    """The request to take back the last cut in what the model is shown."""


Requested = Say | StartOver | Compact | Uncompact


class Outbox:
    """A queue with one reader, whose last message can be taken back."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._requests: deque[Requested] = deque()
        self._handed_over: list[str] = []
        self._filled = asyncio.Event()
        self._changed = changed

    @property
    def messages(self) -> list[str]:
        """The messages that wait, oldest first."""
        return [request.text for request in self._requests if isinstance(request, Say)]

    @property
    def unsent(self) -> list[str]:
        """The messages that are in no conversation yet: those that `next` returned, then those that wait."""
        return [*self._handed_over, *self.messages]

    def put(self, request: Requested) -> None:
        """Add a request. StartOver removes the requests that wait."""
        if isinstance(request, StartOver):
            self._requests.clear()
        self._requests.append(request)
        self._filled.set()
        self._changed()

    def take_back(self) -> str | None:
        """Remove and return the last request, if it is a message."""
        if not self._requests or not isinstance(self._requests[-1], Say):
            return None
        request = self._requests.pop()
        self._changed()
        return request.text if isinstance(request, Say) else None

    async def next(self) -> Requested:
        """Wait for a request, and remove and return the oldest."""
        while not self._requests:
            self._filled.clear()
            await self._filled.wait()
        request = self._requests.popleft()
        if isinstance(request, Say):
            self._handed_over.append(request.text)
        self._changed()
        return request

    def arrived(self) -> None:
        """Take note that the message from `next` is part of the conversation now."""
        if self._handed_over:
            self._handed_over.clear()
            self._changed()
