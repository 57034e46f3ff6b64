"""The screen's log: what went wrong behind it, in a file that only its owner reads and that stays small."""

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
"""Bytes of a file; older ones are kept beside it, as of every log."""


class ScreenLog(RotatingFileHandler):
    """Takes every warning and error of this process. The file is made with the first of them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=LARGEST, backupCount=KEPT - 1, delay=True)
        self.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
        self.setLevel(logging.WARNING)
        self.path = path
        self.is_whole = True
        """False once something could not be written: a full disk is no reason to stop."""

    def _open(self) -> TextIOWrapper:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(file, "a", encoding="utf-8", errors="backslashreplace")

    def format(self, record: logging.LogRecord) -> str:
        """The record, with nothing in it that could act on a terminal: errors quote what models wrote."""
        return printable(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:
        self.is_whole = False


def keep_log() -> ScreenLog:
    """Write there what the process logs from now on."""
    log = ScreenLog(log_path("screen"))
    logging.getLogger().addHandler(log)
    return log
