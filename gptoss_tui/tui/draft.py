"""The draft: text that the person has not sent yet, on disk, so that it outlives any end of the program.

Each process has its own file in one folder, and a lock on that file for as long as the process lives. The
kernel drops the lock when the process is gone, so a file that can be locked has lost its owner, and another
process may take it over.
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
"""The most bytes that are read of a file: more than anybody writes, and no trouble for a screen."""


class Draft:
    """The draft of this process. `text` is the text that `save` writes to disk, from any thread."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made with the first draft."""
        self.text = ""
        self._path = folder / f"{secrets.token_hex(8)}{_WHOLE}"
        self._locked: int | None = None
        self._on_disk = ""
        self._saving = Lock()

    @property
    def is_saved(self) -> bool:
        """Whether there is a draft, and its present text is on disk."""
        return bool(self.text) and self.text == self._on_disk

    def take_up(self) -> str:
        """Take over the newest draft whose owner is gone; returns its text, or "" if there is none."""
        for path in _newest_first(self._path.parent):
            with suppress(OSError):
                if text := self._take(path):
                    self.text = self._on_disk = text
                    return text
        return ""

    def save(self) -> None:
        """Write the text if it has changed, or remove the file if it is empty. A full disk is no error."""
        with self._saving, suppress(OSError):
            text = self.text
            if text == self._on_disk:
                return
            if text:
                self._write(text)
            else:
                self._path.unlink(missing_ok=True)
                self._keep_open(None)
            self._on_disk = text

    def _write(self, text: str) -> None:
        """Replace the file by a new one, which is locked before another process can find it."""
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
        self._keep_open(file)

    def _take(self, path: Path) -> str:
        """Take over a file whose owner is gone and which was wholly written; returns its text."""
        if (file := _lock_if_free(path)) is None:
            return ""
        text = ""
        try:
            if path.suffix == _WHOLE:
                text = os.read(file, _LONGEST).decode("utf-8", "replace")
            if text:
                path.rename(self._path)
                self._keep_open(file)
            else:
                path.unlink()
        finally:
            if file != self._locked:
                os.close(file)
        return text

    def _keep_open(self, file: int | None) -> None:
        """Keep `file` open, for its lock, and close the file before it."""
        if self._locked is not None:
            os.close(self._locked)
        self._locked = file


def _newest_first(folder: Path) -> list[Path]:
    """The files of all processes."""

    def age(path: Path) -> float:
        with suppress(OSError):
            return -path.stat().st_mtime
        return 0.0

    return sorted((path for path in folder.glob("*") if path.suffix in (_WHOLE, _PART)), key=age)


def _lock_if_free(path: Path) -> int | None:
    """Open and lock the file; None when its owner lives, or has just replaced the file."""
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
    """The folder of all drafts on this platform."""
    from platformdirs import user_state_path

    return user_state_path("gptoss-chat") / "drafts"
