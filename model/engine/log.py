"""The engine's log: a file that only its owner reads, and that does not grow without end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

LARGEST = 10 << 20
KEPT = 3


def log_path() -> Path:
    """`engine.log` in the platform's log folder."""
    from platformdirs import user_log_path

    return user_log_path("gptoss-chat", appauthor=False) / "engine.log"


def open_log(path: Path) -> BinaryIO:
    """Open `path` to append, mode 0600, after moving a full one aside; the null device if it cannot be."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LARGEST:
            _rotate(path)
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)
    except OSError:
        return Path(os.devnull).open("ab", buffering=0)


def _rotate(path: Path) -> None:
    """engine.log becomes engine.log.1, that becomes engine.log.2, and the oldest goes."""
    aside = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, KEPT))]
    for older, newer in zip(reversed(aside), reversed(aside[:-1]), strict=False):
        if newer.exists():
            newer.replace(older)
