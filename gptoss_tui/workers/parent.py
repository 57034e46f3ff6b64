"""The application, seen from a child process: its calls come in on stdin, and answers leave on stdout.

One thread listens, so that a cancellation is seen at once, one writes, so that a slow reader holds up
nothing, and the main thread works. The process ends with the one that started it.
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
    """Whoever asks. `hear` is told every message with the number of its call, in the listening thread.

    So is `leave` when the application has gone away, and the process ends when it returns. Without one, the
    process ends at once.
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
        # Ctrl+C is the application's to interpret. Not SIG_IGN, which whatever is started here would inherit.
        signal.signal(signal.SIGINT, lambda *_: None)
        for work in (self._listen, self._write):
            Thread(target=_end_with, args=(work,), daemon=True).start()

    def answer(self, call: int, message: Any) -> None:
        """Answer a call, in any thread."""
        self._answers.put(self._wire.encode(call, message))

    def _listen(self) -> None:
        for line in self._incoming:
            self._hear(*self._wire.decode(line))
        if self._leave is not None:
            self._leave()

    def _write(self) -> None:
        """Send what has gathered since the last time in one piece."""
        while True:
            lines = [self._answers.get()]
            with suppress(Empty):
                while True:
                    lines.append(self._answers.get_nowait())
            self._outgoing.write(b"".join(lines))
            self._outgoing.flush()


def serve(wire: Wire, work: Callable[[Any], Any]) -> None:
    """Answer each call with what `work` makes of it, one after the other, until the application goes away."""
    calls: SimpleQueue[tuple[int, Any]] = SimpleQueue()
    parent = Parent(wire, lambda call, message: calls.put((call, message)))
    while True:
        call, message = calls.get()
        parent.answer(call, work(message))


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """What comes in and what leaves, on descriptors of their own, out of reach for the code that runs here.

    What that prints on stdout goes to the log, and what it reads from stdin is empty.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")


def end_with_parent() -> None:
    """Have Linux kill this process when the thread that started it ends, however that comes about.

    Elsewhere the end of stdin does it, unless a native call never lets the listening thread run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with(work: Callable[[], None]) -> None:
    """Do `work`, and end the process with it: even if the main thread is deep in native code."""
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
