"""Calls to a child process: numbered, several open at once, answered in any order."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from .child import Child, ChildError
from .wire import Wire


class Calls:
    """The calls to one child and its answers. Answers to a call that was left are dropped.

    Several event loops may make calls, one loop after the other.
    """

    def __init__(self, child: Child, wire: Wire) -> None:
        self._child = child
        self._wire = wire
        self._numbers = itertools.count(1)
        self._open: dict[int, asyncio.Queue[Any]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._fate: str | None = None

    def call(self, message: Any) -> OpenCall:
        """Open a call with `message`; raises ChildError if the child has ended."""
        if self._fate is not None:
            raise ChildError(self._fate)
        loop = asyncio.get_running_loop()
        if self._listener is None or self._listener.done() or self._listener.get_loop() is not loop:
            self._listener = loop.create_task(self._listen())
        number = next(self._numbers)
        answers = self._open[number] = asyncio.Queue()
        self._child.write(self._wire.encode(number, message))
        return OpenCall(self, number, answers)

    async def ask(self, message: Any) -> Any:
        """The answer to a call with `message`, where there is only one; raises ChildError."""
        call = self.call(message)
        try:
            return await call.answer()
        finally:
            call.leave()

    def _send(self, number: int, message: Any) -> None:
        self._child.write(self._wire.encode(number, message))

    def _leave(self, number: int) -> None:
        self._open.pop(number, None)

    def _hear(self, line: bytes) -> None:
        number, message = self._wire.decode(line)
        if answers := self._open.get(number):
            answers.put_nowait(message)

    async def _listen(self) -> None:
        try:
            await self._child.listen(self._hear)
            self._fate = await self._child.fate()
        except ChildError as error:
            await self._child.end()
            self._fate = str(error)
        except ValueError:
            await self._child.end()
            self._fate = f"{self._child.name} wrote what it should not, and was ended"
        for answers in self._open.values():
            answers.put_nowait(ChildError(self._fate))


class OpenCall:
    """One call that is open."""

    def __init__(self, calls: Calls, number: int, answers: asyncio.Queue[Any]) -> None:
        self._calls = calls
        self._number = number
        self._answers = answers

    def send(self, message: Any) -> None:
        """Send a further message about the call, without waiting."""
        self._calls._send(self._number, message)

    async def answer(self) -> Any:
        """The next answer; raises ChildError if the child has ended."""
        answer = await self._answers.get()
        if isinstance(answer, ChildError):
            self._answers.put_nowait(answer)
            raise ChildError(*answer.args)
        return answer

    def leave(self) -> None:
        """Wait for no more answers."""
        self._calls._leave(self._number)
