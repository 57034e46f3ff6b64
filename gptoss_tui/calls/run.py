"""The run of a tool's call, in which nothing the tool does can harm the conversation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, ParamSpec, TypeVar

from ..tools import Output
from .cancel import unless_stopped

T = TypeVar("T")
P = ParamSpec("P")

_GRACE_S = 2.0
"""How long a stopped call may take to end before it is left to itself."""

_WAITING = 4
"""Outputs that wait to be read; a tool that prints faster has to wait."""

_log = logging.getLogger(__name__)
_left: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly


class ToolFailed(Exception):
    """The tool raised an exception, which no tool should; the message names it."""


class TookTooLong(Exception):
    """The tool did not end by itself."""


async def guarded(
    call: Callable[[], AsyncGenerator[Output, None]], stop: asyncio.Event, limit_s: float
) -> AsyncGenerator[Output, None]:
    """The outputs of `call()`, which runs in a task of its own, as soon as they come.

    Raises ToolFailed for whatever the tool raises, SystemExit too, Stopped as soon as `stop` is set, and
    TookTooLong after `limit_s` seconds. A tool that does not end even then is left behind.
    """
    outputs: asyncio.Queue[Output | Exception | None] = asyncio.Queue(_WAITING)
    task = asyncio.create_task(_run(call, outputs))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit_s
    try:
        while True:
            output = await unless_stopped(stop, _within(deadline - loop.time(), outputs.get))
            if output is None:
                return
            if isinstance(output, Exception):
                raise output
            yield output
    finally:
        await _end(task)


async def in_time(work: Callable[[], Awaitable[T]], stop: asyncio.Event, limit_s: float) -> T:
    """The result of `work()`, which calls a tool; raises as `guarded` does."""
    return await unless_stopped(stop, _within(limit_s, contained, work))


async def contained(work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work()`; raises ToolFailed for whatever that raises: SystemExit would end the loop."""
    try:
        return await work()
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        raise _failure(error) from None


def answered(question: Callable[[], T]) -> T:
    """The tool's answer to `question`; raises ToolFailed for whatever that raises."""
    try:
        return question()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _failure(error) from None


async def _run(
    call: Callable[[], AsyncGenerator[Output, None]], outputs: asyncio.Queue[Output | Exception | None]
) -> None:
    try:
        async with aclosing(call()) as pieces:
            async for piece in pieces:
                await outputs.put(_as_output(piece))
        await outputs.put(None)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        await outputs.put(_failure(error))


async def _within(
    limit_s: float, work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """The result of `work`; raises TookTooLong."""
    try:
        return await asyncio.wait_for(work(*args, **kwargs), limit_s)
    except TimeoutError:
        raise TookTooLong from None


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=_GRACE_S)
    if not task.done():
        _log.warning("a tool does not end when it is stopped; it is left to itself")
        _left.add(task)
        task.add_done_callback(_left.discard)


def _is_cancelled() -> bool:
    """True when the task is cancelled, and not a tool raises CancelledError of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failure(error: BaseException) -> ToolFailed:
    _log.warning("a tool failed", exc_info=error)
    try:
        message = str(error).strip().partition("\n")[0]
    except Exception:
        message = ""
    return ToolFailed(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def _as_output(piece: Any) -> Output:
    """The output that `piece` is or stands for, its text a str."""
    given = piece if isinstance(piece, Output) else Output(piece)
    text: Any = given.text
    if isinstance(text, bytes | bytearray | memoryview):
        text = bytes(text).decode("utf-8", "replace")
    return Output("" if text is None else str(text), bool(given.is_error), given.files)
