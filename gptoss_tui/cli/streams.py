"""The standard streams, in whatever state the program was started with them."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class StreamError(Exception):
    """stdin gives, or stdout takes, nothing more; the message says why, in one line."""


class _Input(io.FileIO):
    """A stream whose failures are told from those of files: the program ends on them."""

    def readinto(self, buffer: Buffer) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise StreamError(f"stdin cannot be read ({error.strerror})") from error

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise StreamError(f"stdin cannot be read ({error.strerror})") from error


class _Output(io.FileIO):
    """The same of a stream that is written."""

    def write(self, data: Buffer) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise StreamError("nobody reads the output any more") from None
        except OSError as error:
            raise StreamError(f"the output cannot be written ({error.strerror})") from error


class _Notes(io.FileIO):
    """A stream whose failures are ignored: there is nowhere to tell them."""

    def write(self, data: Buffer) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


@contextmanager
def standard_streams() -> Iterator[None]:
    """Have the three streams open, and stdout written to the last byte. Raises StreamError if it cannot be.

    A closed one is the null device: else a file of ours would get its number, and what is printed. A
    character that the locale lacks is printed as `?`. Streams that somebody has put in their place stay.
    """
    is_nowhere = sys.stdout is None
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is None:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    if sys.stdin is sys.__stdin__ and not os.isatty(
        0
    ):  # a terminal's lines are edited by C, which wants its own
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_Input(0, closefd=False)))
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(1, "w", closefd=False), os.isatty(1))
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Notes(2, "w", closefd=False), by_line=True)
    if is_nowhere:
        raise StreamError(f"the output cannot be written ({os.strerror(errno.EBADF)})")
    try:
        yield
        sys.stdout.flush()
    except StreamError:
        # What is buffered has no reader either: without this the interpreter would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise


def _text(raw: io.FileIO, by_line: bool) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(raw), errors="replace", line_buffering=by_line)
