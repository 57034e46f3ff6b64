"""Where processes beside the screen complain: files that only their owner reads, and that stay small."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

LARGEST = 4 << 20
"""Bytes after which a log begins anew the next time it is opened; what was in it is kept once."""


def open_log(path: Path | None) -> BinaryIO:
    """Open `path` to append, mode 0600; the null device when there is none, or it cannot be written."""
    try:
        if path is None:
            raise FileNotFoundError
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            path.chmod(0o600)  # whatever was done to it
            if path.stat().st_size > LARGEST:
                path.replace(path.with_name(f"{path.name}.1"))
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)
    except OSError:
        return Path(os.devnull).open("ab", buffering=0)


def readable(text: str) -> str:
    """`text` without characters that a terminal would obey or hide."""
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)
