"""The check of a file for damaged pages: in the background, for that of a large file takes a while."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from .stored import connect

_CORRUPT, _NO_DATABASE, _SHORT_READ = 11, 26, 522

# What the check also finds, and is no damage to a page: rows that no store wrote.
_ODD: Final = ("NULL value in", "CHECK constraint", "NUMERIC value in", "TEXT value in", "non-")


def is_damage(error: BaseException) -> bool:
    """True for an error that says that the file itself is damaged."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (_CORRUPT, _NO_DATABASE) or code == _SHORT_READ


class Check(threading.Thread):
    """Checks the file once it is started; `damage` says what is wrong, "" for nothing so far."""

    def __init__(self, file: Path, tell: Callable[[], None]) -> None:
        """`tell` is called when there is damage, in the thread of the check."""
        super().__init__(name="check", daemon=True)
        self._tell = tell
        self.file = file
        self.damage = ""
        self._database: sqlite3.Connection | None = None
        self._is_cancelled = False

    def run(self) -> None:
        """Check the file; called by `start`."""
        try:
            with closing(connect(self.file, "mode=ro", timeout=5)) as self._database:
                if not self._is_cancelled:
                    self.damage = _damage(self._database)
        except sqlite3.Error as error:
            self.damage = str(error) if is_damage(error) else ""
        if self.damage:
            self._tell()

    def cancel(self) -> None:
        """End the check early, and wait for its end."""
        self._is_cancelled = True
        while self.is_alive():
            if self._database is not None:
                with suppress(sqlite3.ProgrammingError):  # it is closed just now
                    self._database.interrupt()
            self.join(0.05)


def _damage(database: sqlite3.Connection) -> str:
    found = [str(line) for (line,) in database.execute("pragma quick_check(20)")]
    wrong = (line for line in found if line != "ok" and not line.startswith(_ODD))
    return " ".join(next(wrong, "").split())
