"""Locks on files, which the kernel gives up when the program ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class FileLock:
    """A lock on a file of its own, which goes with the last holder.

    Other instances are kept out, those of this program as well.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._opened: int | None = None

    def acquire(self, *, shared: bool = False, wait: bool = False) -> bool:
        """Take the lock, or change how it is held; False if others hold it. Raises OSError."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            if self._opened is None:
                self._opened = os.open(self.file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._opened, kind if wait else kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if self._is_current():
                return True
            self._close()  # whoever held it has removed the file meanwhile

    def release(self) -> None:
        """Give the lock up, with its file if nobody else holds it. Does nothing the second time."""
        if self._opened is None:
            return
        with suppress(OSError):  # of others, who hold it
            fcntl.flock(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_current():
                self.file.unlink()
        self._close()

    def write(self, note: bytes) -> None:
        """Write the note of the holder into the file; raises OSError."""
        assert self._opened is not None
        os.ftruncate(self._opened, 0)
        os.pwrite(self._opened, note, 0)

    def _is_current(self) -> bool:
        assert self._opened is not None
        ours = os.fstat(self._opened)
        try:
            there = self.file.stat()
        except FileNotFoundError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def _close(self) -> None:
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None
