"""The claim to a conversation: one session of one program goes on with it, and the next is told who."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from .lock import FileLock


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever holds a conversation: process, machine, and since when, in seconds since 1970.

    A process of 0 is one that is not known.
    """

    pid: int
    host: str
    since: float


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim that is held until it is released, or until the program ends, however it ends."""

    lock: FileLock

    def release(self) -> None:
        """Let others have the conversation. Does nothing the second time."""
        self.lock.release()


def claim(file: Path, session: str) -> Claim | Holder:
    """Claim a session of the file, or tell who holds it; raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(_held(file, quote(session, safe="")[:200]))
    if lock.acquire():
        holder = Holder(os.getpid(), socket.gethostname(), time.time())
        with suppress(OSError):  # a full disk; it is held all the same
            lock.write(json.dumps(asdict(holder)).encode())
        return Claim(lock)
    lock.release()
    try:
        return Holder(**json.loads(lock.file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Holder(0, "", 0.0)


def forget_the_dead(file: Path) -> None:
    """Remove what programs that were killed have left of their claims to sessions of the file."""
    for left in file.parent.glob(_held(file, "*").name):
        lock = FileLock(left)
        with suppress(OSError):
            lock.acquire()
            lock.release()


def _held(file: Path, name: str) -> Path:
    return file.with_name(f"{file.name}-held-{name}")
