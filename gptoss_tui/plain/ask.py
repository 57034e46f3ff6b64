"""One turn without a screen: the question, the events as they come, and the exit status."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from ..agent.runtime import AgentError
from ..agent.session import Session
from ..events.endings import Ending
from ..events.events import (
    Completed,
    EngineLoading,
    Error,
    Event,
    Events,
    Failed,
    Incomplete,
    OutputDelta,
    Prefill,
    ReasoningDelta,
)
from ..events.printable import printable
from ..permissions.question import Nobody, Person
from .show import complain

ANSWERED, FAILED, INTERRUPTED = 0, 1, 130

Open = Callable[[Person], Session]
Show = Callable[[Event], None]

_SILENCE_S = 5.0
"""Seconds until a long prompt is first said to be still read; the next time takes twice as long."""

_LONG_PROMPT = 8_000
"""Characters."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class _Progress:
    """The progress of a load, on one line of a terminal, once the load has taken longer than a second."""

    _start: float = 0.0
    _width: int = 0

    def __call__(self, event: EngineLoading) -> None:
        self._start = self._start or time.monotonic()
        if sys.stderr.isatty() and time.monotonic() - self._start > 1:
            share = f" {event.done / event.total:.0%}" if event.total else ""
            line = printable(f"{event.stage}{share}")
            print("\r" + line.ljust(self._width), end="", file=sys.stderr, flush=True)
            self._width = len(line)

    def erase(self) -> None:
        if self._width:
            print("\r" + " " * self._width, end="\r", file=sys.stderr, flush=True)


def one_shot(open_session: Open, prompt: str, show: Show) -> int:
    """Ask one question in a chat of its own and show the events; returns the exit status."""
    return asyncio.run(_one_shot(open_session, prompt, show))


async def _one_shot(open_session: Open, prompt: str, show: Show) -> int:
    try:
        session = open_session(Nobody())
        try:
            with _signals_stop(session, asyncio.current_task()) as caught:
                try:
                    await load(session, show)
                except asyncio.CancelledError:
                    if not caught:
                        raise
                    complain(f"ended by {signal.Signals(caught[0]).name} before the question was asked")
                    return 128 + caught[0]
            return await ask(session, prompt, show)
        finally:
            await close(session)
    except AgentError as error:
        show(Failed(Error("cannot_start", str(error))))
        return FAILED


async def close(session: Session) -> None:
    """Close the chat, and report on stderr the messages that are not saved, or are saved after all."""
    await session.runtime.close()
    if lost := session.runtime.recorder.lost:
        complain(lost)
    else:
        for event in session.saving_news():
            complain(event.message)


async def load(session: Session, show: Show) -> None:
    """Load the model, with progress on stderr if that is a terminal; raises AgentError."""
    progress = _Progress()
    try:
        async for event in session.load():
            show(event)
            if isinstance(event, EngineLoading):
                progress(event)
    finally:
        progress.erase()


async def ask(session: Session, prompt: str, show: Show) -> int:
    """Run one turn and show its events; returns the exit status. Raises AgentError."""
    signs = _SignsOfLife(prompt)

    def show_signs_too(event: Event) -> None:
        show(event)
        signs.see(event)

    try:
        return await follow(session, session.send(prompt), show_signs_too)
    finally:
        signs.end()


async def follow(session: Session, work: Events, show: Show) -> int:
    """Show the events of the session's `work`, which Ctrl+C stops; returns the exit status of a turn.

    Raises AgentError.
    """
    status = FAILED
    with _signals_stop(session) as caught:
        async with aclosing(work) as events:
            async for event in events:
                show(event)
                match event:
                    case Completed():
                        status = ANSWERED
                    case Incomplete(reason=Ending.INTERRUPTED):
                        status = 128 + caught[0] if caught else INTERRUPTED
    return status


class _SignsOfLife:
    """Says on stderr, now and then, that a long prompt is still being read."""

    def __init__(self, prompt: str) -> None:
        self._progress: Prefill | None = None
        self._due: asyncio.TimerHandle | None = None
        if len(prompt) >= _LONG_PROMPT:
            self._wait(_SILENCE_S)

    def see(self, event: Event) -> None:
        """Take the next event of the turn."""
        if isinstance(event, Prefill):
            self._progress = event
        elif isinstance(event, ReasoningDelta | OutputDelta):
            self.end()

    def end(self) -> None:
        """Say nothing more."""
        if self._due is not None:
            self._due.cancel()

    def _wait(self, seconds: float) -> None:
        self._due = asyncio.get_running_loop().call_later(seconds, self._say, seconds)

    def _say(self, waited: float) -> None:
        so_far = self._progress
        complain(f"reading: {so_far.done:,} of {so_far.total:,} tokens" if so_far else "reading the question")
        self._wait(2 * waited)


@contextmanager
def _signals_stop(session: Session, task: asyncio.Task[object] | None = None) -> Iterator[list[int]]:
    """Let the first Ctrl+C, or signal like it, stop the turn in order; a second one ends the program.

    A `task` is cancelled by it instead. Yields the list of the signals so far.
    """
    loop = asyncio.get_running_loop()
    caught: list[int] = []
    stopping: list[asyncio.Task[None]] = []  # the loop itself holds tasks only weakly

    def stop(number: int) -> None:
        loop.remove_signal_handler(number)
        caught.append(number)
        if task is not None:
            task.cancel()
        else:
            stopping.append(loop.create_task(session.stop()))

    for number in _ENDING:
        loop.add_signal_handler(number, stop, number)
    try:
        yield caught
    finally:
        for number in _ENDING:
            loop.remove_signal_handler(number)
