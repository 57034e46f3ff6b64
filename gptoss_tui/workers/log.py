"""Logs of child processes: files that only their owner can read, of a bounded size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

LARGEST = 10 << 20
"""Bytes beyond which a log is renamed the next time it is opened."""

KEPT = 3
"""The number of files of one log, with the current one."""


def log_folder() -> Path:
    """The platform's folder for our logs."""
    from platformdirs import user_log_path

    return user_log_path("gptoss-chat", appauthor=False)


def log_path(name: str) -> Path:
    """The log of that name."""
    return log_folder() / f"{name}.log"


def open_log(path: Path | None) -> BinaryIO:
    """Open `path` to append, mode 0600; the null device if `path` is None or cannot be written."""
    try:
        if path is None:
            raise FileNotFoundError
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            path.chmod(0o600)  # its mode may have been changed since
            if path.stat().st_size > LARGEST:
                _rotate(path)
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)
    except OSError:
        return Path(os.devnull).open("ab", buffering=0)


def readable(text: str) -> str:
    """`text` without the characters that a terminal would obey or hide."""
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)


def _rotate(path: Path) -> None:
    """Rename engine.log to engine.log.1, that to engine.log.2, and so on; the oldest file is removed."""
    aside = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, KEPT))]
    for older, newer in zip(reversed(aside), reversed(aside[:-1]), strict=False):
        if newer.exists():
            newer.replace(older)
