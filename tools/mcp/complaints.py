"""A server's stderr and the SDK's complaints, in a readable and bounded log."""

from __future__ import annotations

import logging
import re
import sys

from gptoss_tui.workers.log import readable

_STYLE = re.compile(r"\x1b\[[0-9;:?]*[@-~]")

LONGEST = 1 << 20
"""Characters logged in one run of a server."""


class Complaints:
    """Writes to this process's stderr, which is the log; `last` is the server's last own line."""

    def __init__(self) -> None:
        self.last = ""
        self._room = LONGEST
        logging.basicConfig(handlers=[_ToLog(self)], level=logging.WARNING, force=True)

    def heard(self, text: str) -> None:
        """Log text from the server's stderr; characters that would act on a terminal are made visible."""
        shown = readable(_STYLE.sub("", text))
        said = [line.strip() for line in shown.splitlines() if line.strip()]
        self.last = said[-1][:200] if said else self.last
        self.say(shown)

    def say(self, text: str) -> None:
        """Log `text`, as far as there is room."""
        if self._room <= 0:
            return
        shown = readable(text)[: self._room]
        self._room -= len(shown) + 1
        sys.stderr.write(shown.removesuffix("\n") + "\n")
        if self._room <= 0:
            sys.stderr.write("[no more of this run is logged]\n")
        sys.stderr.flush()


class _ToLog(logging.Handler):
    def __init__(self, complaints: Complaints) -> None:
        super().__init__()
        self._complaints = complaints

    def emit(self, record: logging.LogRecord) -> None:
        self._complaints.say(f"{record.name}: {record.getMessage()[:500]}")
