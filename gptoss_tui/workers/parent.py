"""The application, seen from a child process: its calls arrive on stdin, and answers leave on stdout.

One thread listens, so that a cancellation is seen at once; another writes, so that a slow reader delays
nothing; the main thread works. The process ends with the process that started it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

from .wire import Wire

PR_SET_PDEATHSIG = 1


class Parent:
    """The caller. The listening thread calls `hear` with the number of a call and each message about it.

    When the application has ended, that thread calls `leave`, and the process ends when `leave` returns;
    without `leave` it ends at once.
    """

    def __init__(
        self, wire: Wire, hear: Callable[[int, Any], None], leave: Callable[[], None] | None = None
    ) -> None:
        self._wire = wire
        self._hear = hear
        self._leave = leave
        self._incoming, self._outgoing = take_pipes()
        self._answers: SimpleQueue[bytes] = SimpleQueue()
        if leave is None:
            end_with_parent()
        # The application interprets Ctrl+C. SIG_IGN would be inherited by every process started here.
        signal.signal(signal.SIGINT, lambda *_: None)
        for work in (self._listen, self._write):
            Thread(target=_end_with, args=(work,), daemon=True).start()

    def answer(self, call: int, message: Any) -> None:
        """Send an answer to a call; any thread may do so."""
        self._answers.put(self._wire.encode(call, message))

    def _listen(self) -> None:
        for line in self._incoming:
            self._hear(*self._wire.decode(line))
        if self._leave is not None:
            self._leave()

    def _write(self) -> None:
        """Send the answers that have gathered since the last time in one piece."""
        while True:
            lines = [self._answers.get()]
            with suppress(Empty):
                while True:
                    lines.append(self._answers.get_nowait())
            self._outgoing.write(b"".join(lines))
            self._outgoing.flush()


def serve(wire: Wire, work: Callable[[Any], Any]) -> None:
    """Answer each call with the result of `work`, one after the other, until the application ends."""
    calls: SimpleQueue[tuple[int, Any]] = SimpleQueue()
    parent = Parent(wire, lambda call, message: calls.put((call, message)))
    while True:
        call, message = calls.get()
        parent.answer(call, work(message))


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes of calls and answers, on descriptors that are out of reach of code that this process runs.

    The prints of that code on stdout go to the log, and its stdin is empty.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")


def end_with_parent() -> None:
    """Have Linux kill this process when the thread that started it ends, for whatever reason.

    On other systems the end of stdin ends it, unless a native call never lets the listening thread run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with(work: Callable[[], None]) -> None:
    """Run `work`, then end the process, even if the main thread is deep in native code."""
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
