"""The side of a worker process: JSON lines on what were its standard streams."""

from __future__ import annotations

import json
import os
from typing import Any, TextIO


def take_streams() -> tuple[TextIO, TextIO]:
    """Where requests come from and replies go, out of reach for the code that the process runs.

    Whatever that prints goes to the log, and what it reads is empty.
    """
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return requests, replies


def say(replies: TextIO, message: dict[str, Any]) -> None:
    """Send one line."""
    print(json.dumps(message), file=replies, flush=True)
