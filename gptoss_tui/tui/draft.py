"""What a person has written and not sent, on disk, so that it outlives the program however that ends.

Each program has a file of its own in one folder, and holds a lock on it for as long as it lives. The kernel
lets go of the lock when the program is gone, so a file that can be locked has lost its owner and may be taken
up by another.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

_WHOLE: Final = ".txt"
_PART: Final = ".new"
_LONGEST: Final = 4 << 20
"""Bytes that are read of a file: more than anybody writes, and no trouble for a screen."""


class Draft:
    """The draft of this program. `text` is what should be on disk; `save` puts it there, from any thread."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when there is something to keep."""
        self.text = ""
        self._path = folder / f"{secrets.token_hex(8)}{_WHOLE}"
        self._locked: int | None = None
        self._on_disk = ""
        self._saving = Lock()

    @property
    def is_saved(self) -> bool:
        """Whether there is a draft, and it is on disk as it stands."""
        return bool(self.text) and self.text == self._on_disk

    def take_up(self) -> str:
        """Make the newest draft whose owner is gone this program's own, and return it; empty if none is."""
        for path in _newest_first(self._path.parent):
            with suppress(OSError):
                if text := self._take(path):
                    self.text = self._on_disk = text
                    return text
        return ""

    def save(self) -> None:
        """Write the text if it has changed, or remove the file if there is none. A full disk is no error."""
        with self._saving, suppress(OSError):
            text = self.text
            if text == self._on_disk:
                return
            if text:
                self._write(text)
            else:
                self._path.unlink(missing_ok=True)
                self._hold(None)
            self._on_disk = text

    def _write(self, text: str) -> None:
        """Put a new file in the old one's place. It is locked before anybody can find it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._path.with_suffix(_PART)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with os.fdopen(os.dup(file), "wb") as stream:
                stream.write(text.encode("utf-8", "replace"))
            new.replace(self._path)
        except OSError:
            os.close(file)
            new.unlink(missing_ok=True)
            raise
        self._hold(file)

    def _take(self, path: Path) -> str:
        """Make that file this program's, if its owner is gone and all of it was written; returns its text."""
        if (file := _lock_if_free(path)) is None:
            return ""
        text = ""
        try:
            if path.suffix == _WHOLE:
                text = os.read(file, _LONGEST).decode("utf-8", "replace")
            if text:
                path.rename(self._path)
                self._hold(file)
            else:
                path.unlink()
        finally:
            if file != self._locked:
                os.close(file)
        return text

    def _hold(self, file: int | None) -> None:
        """Keep `file` open, for its lock, and let go of the one before."""
        if self._locked is not None:
            os.close(self._locked)
        self._locked = file


def _newest_first(folder: Path) -> list[Path]:
    """The files of all programs."""

    def age(path: Path) -> float:
        with suppress(OSError):
            return -path.stat().st_mtime
        return 0.0

    return sorted((path for path in folder.glob("*") if path.suffix in (_WHOLE, _PART)), key=age)


def _lock_if_free(path: Path) -> int | None:
    """Open and lock the file; None when its owner lives, or has just put another in its place."""
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(path.stat(), os.fstat(file)):
            return file
    except BlockingIOError:
        pass
    os.close(file)
    return None


def drafts_folder() -> Path:
    """The folder on this platform."""
    from platformdirs import user_state_path

    return user_state_path("gptoss-chat") / "drafts"
