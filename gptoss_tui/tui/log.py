"""The screen's log: warnings and errors of its process, in a small file that only the owner can read."""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from ..events.printable import printable
from ..workers.log import KEPT, log_path

LARGEST: Final = 1 << 20
"""The most bytes of a file; older files stay beside it, as with every log."""


class ScreenLog(RotatingFileHandler):
    """Writes every warning and error of this process. The first of them makes the file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=LARGEST, backupCount=KEPT - 1, delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
        self.setLevel(logging.WARNING)
        self.path = path
        self.is_whole = True
        """False once a record could not be written, as on a full disk, which does not end the program."""

    def _open(self) -> TextIOWrapper:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(file, "a", encoding="utf-8", errors="backslashreplace")

    def format(self, record: logging.LogRecord) -> str:
        """The record as printable text: errors quote the output of models, which could act on a terminal."""
        return printable(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:
        self.is_whole = False


def keep_log() -> ScreenLog:
    """Begin to write the log of this process."""
    log = ScreenLog(log_path("screen"))
    logging.getLogger().addHandler(log)
    return log
